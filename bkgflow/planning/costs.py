"""What a plan will read, write and hold, predicted from headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.pixels import PART_BYTES
from bkgflow.kinds.bands import bytes_per_pixel
from bkgflow.kinds.families import OUTPUT_BYTES_PER_PIXEL, band_rows, families
from bkgflow.outcome import Outcome
from bkgflow.planning.plan import CombinedPlan, Costs, Unit
from bkgflow.settings import StepSettings

__all__ = ["predict"]


def predict(
    units: Sequence[Unit],
    combined: Sequence[CombinedPlan],
    exposures: Mapping[str, ExposureFacts],
    settings: StepSettings,
    memory: int,
) -> Costs:
    """Add up what the tasks of a plan will move and hold.

    A background's overlap with the window is read once for each family that uses it; a target
    is read whole and written whole.

    Returns
    -------
    Costs
        In bytes.
    """
    read, combine_task = 0, 0
    per_pixel = bytes_per_pixel(errors=settings.with_errors)
    for family in families(combined):
        for path in family.members:
            facts = exposures[path]
            held = facts.window.overlap(family.window)
            rows = held.ny * facts.window.nx if held else 0
            read += rows * (facts.n_integrations or 1) * per_pixel
        rows = band_rows(family.window, (exposures[path] for path in family.members))
        results = rows * family.window.nx * OUTPUT_BYTES_PER_PIXEL * len(family.backgrounds)
        combine_task = max(combine_task, memory + results)
    written, subtract_task = 0, 0
    for unit in units:
        if unit.outcome == Outcome.QUARANTINED:
            continue
        facts = exposures[unit.target]
        size = facts.identity.size
        pixels = facts.window.nx * facts.window.ny
        read += size + sum(each.size for each in (unit.inputs.identities if unit.inputs else ()))
        written += size
        if settings.save_combined_background and unit.combined and unit.outcome is None:
            written += pixels * per_pixel
        subtract_task = max(subtract_task, _held(unit, facts))
    return Costs(read, written, combine_task, subtract_task)


def _held(unit: Unit, facts: ExposureFacts) -> int:
    """Return the bytes that the last task of a unit holds.

    A slitless model is read whole and written through one more copy of its largest array. All
    others stream: a part of the target is held as it is stored and as it is changed, beside
    what is subtracted from it.
    """
    if unit.mode == "wfss" and unit.outcome is None:
        return facts.identity.size + facts.n_pixels * 4
    return facts.window.nx * facts.window.ny * OUTPUT_BYTES_PER_PIXEL + 3 * PART_BYTES
