"""Units: one product of one association, made from what the headers decide."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.describe import product_name, product_suffix
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.kinds.backgrounds import Decision, decide
from bkgflow.kinds.inputs import FitInputs, soss_inputs, wfss_inputs
from bkgflow.kinds.table import mode_of
from bkgflow.outcome import Outcome
from bkgflow.planning.old_keys import combined_key, fit_key, unit_key
from bkgflow.planning.plan import FitPlan, Unit
from bkgflow.settings import StepSettings
from bkgflow.version import VERSION

__all__ = ["make_record", "make_unit", "with_fits"]

SEGMENT = re.compile(r"-seg(\d+)")
"""How the pipeline numbers the files of one long exposure."""


def make_unit(
    target: ExposureFacts,
    backgrounds: Sequence[ExposureFacts],
    settings: StepSettings,
    references: ReferenceFolder | None,
    catalogs: tuple[str, ...] = (),
    **place: Any,
) -> tuple[Unit, Decision]:
    """Decide from headers what is done to a target.

    Parameters
    ----------
    target : ExposureFacts
        The exposure.
    backgrounds : sequence of ExposureFacts
        Its background exposures; of no use to WFSS and SOSS.
    settings : StepSettings
        The step's arguments.
    references : ReferenceFolder or None
        Where references are looked for; None for CRDS.
    catalogs : tuple of str
        The association's ``sourcecat`` members.
    **place
        ``association``, ``product`` and ``notes`` of the unit.

    Returns
    -------
    unit, decision
        A SOSS unit has no fit yet: see `with_fits`. The decision names the backgrounds used.

    Raises
    ------
    InputError
        If an input is bad.
    """
    mode = mode_of(target.exp_type)
    notes = place.pop("notes", ())
    combined, inputs, decision = "", None, Decision()
    if mode == "image":
        decision = decide(target, backgrounds)
        reason = decision.skip_reason
        if decision.used:
            combined = combined_key(settings, target.window, decision.used)
    else:
        found = (
            wfss_inputs(target, settings, references, catalogs)
            if mode == "wfss"
            else soss_inputs(target, settings, references)
        )
        inputs, reason = (None, found) if isinstance(found, str) else (found, "")
        if backgrounds:
            notes = (*notes, "background exposures are not used: a reference is scaled instead")
    unit = Unit(
        key=unit_key(settings, mode, target, combined or reason, _identities(inputs)),
        target=target.path,
        output=product_name(target.path, product_suffix(target.n_integrations)),
        mode=mode,
        combined=combined or None,
        inputs=inputs,
        outcome=Outcome.SKIPPED if reason else None,
        reason=reason,
        notes=(*notes, *decision.notes),
        **place,
    )
    return unit, decision


def with_fits(
    units: Iterable[Unit], facts: Mapping[str, ExposureFacts], settings: StepSettings
) -> tuple[list[Unit], list[FitPlan]]:
    """Give SOSS units the fit that their exposure's segments share.

    With ``soss_fit="file"`` every unit has a fit of its own.
    """
    units = list(units)
    groups: dict[Any, dict[str, ExposureFacts]] = defaultdict(dict)
    for unit in units:
        if unit.mode == "soss" and unit.outcome is None:
            groups[_exposure(unit, settings)][unit.target] = facts[unit.target]
    fits: dict[Any, tuple[FitPlan, str]] = {}
    for exposure, members in groups.items():
        inputs = next(u.inputs for u in units if _exposure(u, settings) == exposure)
        assert inputs is not None
        ordered = sorted(members)
        key = fit_key(settings, [members[path] for path in ordered], inputs.identities)
        plan = FitPlan(key, tuple(ordered), inputs.background[0])
        fits[exposure] = plan, _missing(ordered)
    done = []
    for unit in units:
        if unit.mode == "soss" and unit.outcome is None:
            fit, note = fits[_exposure(unit, settings)]
            key = unit_key(settings, "soss", facts[unit.target], fit.key, ())
            notes = (*unit.notes, note) if note else unit.notes
            unit = replace(unit, key=key, fit=fit.key, notes=notes)  # noqa: PLW2901
        done.append(unit)
    return done, [fit for fit, _ in fits.values()]


def _exposure(unit: Unit, settings: StepSettings) -> Any:
    """What the segments of one exposure have in common."""
    path = Path(unit.target)
    name = path.name if settings.soss_fit == "file" else SEGMENT.sub("", path.name)
    return path.parent, name, unit.inputs and unit.inputs.background


def _missing(paths: Sequence[str]) -> str:
    """Name the segments that are not there although a later one is."""
    found = [SEGMENT.search(Path(path).name) for path in paths]
    numbers = {int(match[1]) for match in found if match}
    missing = [n for n in range(1, max(numbers, default=0)) if n not in numbers]
    if not missing or len(paths) < 2:
        return ""
    names = ", ".join(f"{number:03d}" for number in missing)
    return f"segment {names} of the exposure is not in the fit"


def make_record(
    unit: Unit, settings: StepSettings, backgrounds: Sequence[str], version: str = VERSION
) -> dict[str, Any]:
    """Return what goes into a product's metadata, as far as the plan knows it."""
    record: dict[str, Any] = {
        "version": version,
        "key": unit.key,
        "background_key": unit.combined or unit.fit or "",
        "association": Path(unit.association).name,
        "backgrounds": [Path(path).name for path in backgrounds],
        "settings": settings.relevant(unit.mode),
        "notes": list(unit.notes),
    }
    if unit.inputs is not None:
        record["references"] = [Path(path).name for path in _files(unit.inputs)]
        record["reference_origins"] = dict(unit.inputs.origins)
    return record


def _files(inputs: FitInputs) -> list[str]:
    others = (inputs.wavelengthrange, inputs.catalog, inputs.mask)
    return [*inputs.background, *(path for path in others if path)]


def _identities(inputs: FitInputs | None) -> tuple[Any, ...]:
    return () if inputs is None else tuple(asdict(each) for each in inputs.identities)
