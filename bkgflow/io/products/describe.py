"""Products: named as the pipeline names them, and described so that nothing is silent."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io.fits.card import Undefined

from bkgflow.io.fits.checksums import SUMS
from bkgflow.io.models import save_model
from bkgflow.io.products.writer import NAMED, Arrays, Changes
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import Draft, Publish, writing
from bkgflow.record import NO_IMPRINT, Record
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel

__all__ = [
    "COMBINED_SUFFIX",
    "describe",
    "draft_combined",
    "product_name",
    "product_suffix",
    "save_combined",
    "with_dq",
]

COMBINED_SUFFIX = "combinedbackground"
"""What the reference step calls a saved combined background."""

_KNOWN_SUFFIX = re.compile(
    r"_(rate|rateints|assign_?wcs(step)?|cal|calints|bsub|bsubints|imprint(_?subtract)?(step)?"
    r"|flat_?field(step)?|msa_?flagging(step)?|badpix_?selfcal(step)?|clean_?flicker_?noise(step)?)$"
)
"""Suffixes of the products that the step is given; the pipeline replaces them by its own."""


def product_name(target: PathLike, suffix: str) -> str:
    """Return the file name of a product, as the pipeline forms it from its input's name."""
    stem = re.sub(r"(?i)\.((fits?|fts)(\.gz)?|asdf)$", "", Location.of(target).name)
    return f"{_KNOWN_SUFFIX.sub('', stem)}_{suffix}.fits"


def product_suffix(n_integrations: int | None) -> str:
    """Return what the pipeline calls the product: bsub for an image, bsubints for a cube."""
    return "bsub" if n_integrations is None else "bsubints"


def with_dq(model: JwstDataModel) -> None:
    """Give an exposure without DQ one in which all pixels are good."""
    if getattr(model, "dq", None) is None and getattr(model, "data", None) is not None:
        model.dq = np.zeros(model.data.shape, np.uint32)


def describe(model: JwstDataModel, verdict: Verdict, changes: Changes | None = None) -> None:
    """Write into a model what was done to it, with mask and scaling factor where there are any.

    ``S_BKDSUB`` gets the state, ``S_IMPRNT`` that of the imprint. Checksums of headers that no
    schema knows are forgotten: nobody would make them anew. A card without a value becomes an
    empty one: a tree has no place for it.
    """
    for content in model.instance.get("extra_fits", {}).values():
        cards = (card for card in content.get("header", ()) if card[0] not in SUMS)
        if "header" in content:
            content["header"] = [["" if type(each) is Undefined else each for each in card]
                                 for card in cards]  # fmt: skip
    if changes is not None and changes.mask is not None:
        model.mask = changes.mask.astype(np.uint32)
    if changes is not None and changes.scaling_factor is not None:
        model.meta.background.scaling_factor = changes.scaling_factor
    if changes is not None and changes.imprint is not None:
        model.meta.cal_step.imprint = changes.imprint.value
    for keyword, value in () if changes is None else changes.keywords:
        *above, name = NAMED[keyword].split(".")
        setattr(reduce(getattr, above, model.meta), name, value)
    model.meta.cal_step.bkg_subtract = verdict.state.value
    model.meta.bkgflow = verdict.to_tree()
    for line in verdict.history:
        model.add_history_entry(line)


def draft_combined(
    publish: Publish, target: JwstDataModel, arrays: Arrays, record: Record, to: Location
) -> Draft:
    """Do `OpenTarget.combined` for a target that is open as a model."""
    draft = publish.prepare(to)
    with writing(draft) as path:
        save_combined(path, target, arrays, record)
    return draft


def save_combined(path: Path, target: JwstDataModel, arrays: Arrays, record: Record) -> None:
    """Write a combined background as a FITS file, an ImageModel with the target's metadata."""
    from stdatamodels.jwst import datamodels

    with datamodels.ImageModel(arrays[0].shape) as model:
        model.update(target)
        model.data, model.err, model.dq = arrays
        model.meta.cal_step.bkg_subtract = None
        if (imprints := record.background_imprints) is not None:
            model.meta.cal_step.imprint = None if NO_IMPRINT in imprints else "COMPLETE"
        model.meta.model_type = "ImageModel"
        model.meta.bkgflow = record.to_tree()
        save_model(model, path)
