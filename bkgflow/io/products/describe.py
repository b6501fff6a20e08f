"""Products: named as the pipeline names them, and described so that nothing is silent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.outcome import Outcome

__all__ = [
    "COMBINED_SUFFIX",
    "Description",
    "combined_model",
    "describe",
    "product_name",
]

COMBINED_SUFFIX = "combinedbackground"
"""What the reference step calls a saved combined background."""

MOST_WORDS = 20
"""Items of a list in HISTORY, such as scales over time; ``meta.bkgflow`` has them all."""

_KNOWN_SUFFIX = re.compile(
    r"_(rate|rateints|assign_?wcs(step)?|cal|calints|bsub|bsubints|imprint(_?subtract)?(step)?"
    r"|flat_?field(step)?|msa_?flagging(step)?|badpix_?selfcal(step)?|clean_?flicker_?noise(step)?)$"
)
"""Suffixes of the products that the step is given; the pipeline replaces them by its own."""


def product_name(target: str | Path, suffix: str) -> str:
    """Return the file name of a product, as the pipeline forms it from its input's name."""
    name = Path(target).name
    stem = re.sub(r"\.(fits(\.gz)?|asdf)$", "", name)
    return f"{_KNOWN_SUFFIX.sub('', stem)}_{suffix}.fits"


@dataclass(frozen=True, slots=True)
class Description:
    """What a product says of itself.

    Attributes
    ----------
    outcome : Outcome
        How the unit ended.
    reason : str
        Why, in a sentence; empty for COMPLETE.
    record : mapping
        What was done, in plain numbers, words, lists and mappings; ``version`` is among them.
    """

    outcome: Outcome
    reason: str
    record: Mapping[str, Any]

    @property
    def tree(self) -> dict[str, Any]:
        """The whole record, for ``meta.bkgflow`` in the ASDF extension."""
        return {"outcome": self.outcome.value, "reason": self.reason, **self.record}

    @property
    def history(self) -> list[str]:
        """The same in words, for the FITS HISTORY."""
        return [_ascii(line) for line in _history(self.tree)]


def describe(model: JwstDataModel, description: Description) -> None:
    """Write into a model what was done to it; ``S_BKDSUB`` gets the outcome."""
    model.meta.cal_step.bkg_subtract = description.outcome.value
    model.meta.bkgflow = description.tree
    for line in description.history:
        model.add_history_entry(line)


def _history(record: Mapping[str, Any]) -> Iterable[str]:
    yield f"bkgflow {record['version']}: background subtraction {record['outcome']}"
    for name, value in record.items():
        if name in {"version", "outcome"} or value is None:
            continue
        if isinstance(value, Sized) and not len(value):
            continue
        yield f"bkgflow {name}: {_in_words(value)}"


def _ascii(line: str) -> str:
    """FITS headers hold printable ASCII; what has no likeness there becomes a question mark."""
    line = line.translate({ord("–"): "-", ord("×"): "x"})
    return re.sub(r"[^ -~]", "?", line)


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        words = [str(item) for item in value]
        if len(words) > MOST_WORDS:
            words[MOST_WORDS - 1 : -1] = [f"... ({len(words)} in all)"]
        return ", ".join(words)
    return str(value)


def combined_model(
    target: JwstDataModel,
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint32],
    record: Mapping[str, Any],
) -> JwstDataModel:
    """Return a combined background as an ImageModel with its target's place and settings.

    Parameters
    ----------
    target : JwstDataModel
        Whose detector, optics and subarray it is for.
    sci, err, dq : (ny, nx)
        The combined background, in the unit of the target.
    record : mapping
        What it was made of.
    """
    model = datamodels.ImageModel(sci.shape)
    model.update(target)
    model.data, model.err, model.dq = sci, err, dq
    model.meta.cal_step.bkg_subtract = None
    model.meta.model_type = "ImageModel"
    model.meta.bkgflow = dict(record)
    return model
