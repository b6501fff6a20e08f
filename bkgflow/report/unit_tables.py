"""The units of a plan as a table: what will be done, and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bkgflow.kinds.table import KINDS
from bkgflow.planning.grouped import grouped
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.record import ImageFound, TemplateFound
from bkgflow.report.tables import PLAIN_WIDTH, counted, fits, human_bytes, make_table
from bkgflow.texts import many, wrapped
from bkgflow.verdict import Verdict

__all__ = ["plan_table", "remarks", "run_table", "summary", "what_went_wrong"]

LEAST_WORDS = 21
"""Columns that a few words need; in less they would stand one below the other."""


def plan_table(plan: Plan, width: int = PLAIN_WIDTH) -> RenderableType:
    """Return one row for each shared result and each unit, and what they cost.

    What cannot be done, or is not, is told below: once for all that it is the same for.
    """
    verdicts = [unit.verdict for unit in plan.units]
    counts = Counter("to do" if each.to_do else each.state.value for each in verdicts)
    names, costs = _names(plan), plan.costs
    total = many(len(plan.units), "unit")
    words = [
        f"reads {human_bytes(costs.read)}, writes {human_bytes(costs.written)}; a shared task "
        f"holds up to {human_bytes(costs.shared_task)}, a unit's task "
        f"{human_bytes(costs.unit_task)}",
        *plan.remarks,
        *_reasons(zip(plan.units, verdicts, strict=True), width),
    ]
    rows = [(unit, _what(unit, names)) for unit in plan.units]
    tables: list[RenderableType] = [_units(("Target", "Product", "What is done"), rows, width)]
    if plan.shared:
        shared = make_table(None, ("Shared", "What is done"), _shared_rows(plan, names))
        tables = [shared, Text(), *tables]
    return _page(f"Plan: {total} ({counted(counts)}) into {plan.output}", tables, words)


def run_table(
    plan: Plan,
    verdicts: Sequence[Verdict],
    seconds: float,
    width: int = PLAIN_WIDTH,
    kept: int = 0,
) -> RenderableType:
    """Return one row for each unit: how it ended, by its verdict, in a run of so many seconds.

    Reasons are told below, once for all units that they are the same for.
    """
    rows = [(unit, verdict.state) for unit, verdict in zip(plan.units, verdicts, strict=True)]
    table = _units(("Target", "Product", "State"), rows, width)
    first, last = summary(plan, verdicts, seconds, kept)
    reasons = _reasons(zip(plan.units, verdicts, strict=True), width)
    return _page(first, [table], [last, *reasons])


def summary(
    plan: Plan, verdicts: Sequence[Verdict], seconds: float, kept: int = 0
) -> tuple[str, str]:
    """Return two lines: how many units ended how, and where their products are.

    ``kept`` of them ended in an earlier run.
    """
    counts = counted(Counter(each.state.value for each in verdicts))
    before = f" ({kept:,} of them in an earlier run)" if kept else ""
    return (
        f"{many(len(verdicts), 'unit')}: {counts}{before}",
        f"{seconds:.1f} s, products in {plan.output}",
    )


def what_went_wrong(pairs: Iterable[tuple[Unit, Verdict]], width: int = PLAIN_WIDTH) -> list[str]:
    """Return why units are not done, each reason once; nothing of those that went well."""
    return list(_reasons(((unit, each) for unit, each in pairs if not each.state.good), width))


def _page(title: str, tables: Sequence[RenderableType], words: Sequence[str]) -> Lines:
    return Lines(Text(title), *tables, *(Text(word) for word in words))


def _reasons(pairs: Iterable[tuple[Unit, Verdict]], width: int) -> Iterator[str]:
    for group in grouped(pairs, remarks):
        first, *others = group.lines()
        room = width if width < PLAIN_WIDTH else None
        yield "\n".join((wrapped(first, room), *(wrapped(each, room, "  ") for each in others)))


def _units(columns: tuple[str, str, str], rows: Sequence[tuple[Unit, str]], width: int) -> Table:
    """Return a table of units that fits: with whole names of products, their ends, or none."""
    whole = [(unit.name, unit.output, what) for unit, what in rows]
    ends = [(unit.name, _end(unit), what) for unit, what in rows]
    for each in (whole, ends):
        narrow = [(*row[:2], row[2][:LEAST_WORDS]) for row in each]
        if fits(columns, narrow, width):
            return make_table(None, columns, each)
    return make_table(None, (columns[0], columns[2]), [(name, what) for name, _, what in whole])


def _end(unit: Unit) -> str:
    """Return the end of a product's name, where the rest is the target's: "…_bsub.fits"."""
    rest, _, end = unit.output.rpartition("_")
    return f"…_{end}" if rest and unit.name.startswith(f"{rest}_") else unit.output


def _names(plan: Plan) -> dict[str, str]:
    """Return what the table calls each shared result: its kind's noun, numbered."""
    numbers: Counter[str] = Counter()
    names = {}
    for shared in plan.shared:
        noun = KINDS.named(shared.kind).noun
        numbers[noun] += 1
        names[shared.digest] = f"{noun} {numbers[noun]}"
    return names


def _shared_rows(plan: Plan, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    sharing = plan.sharing()
    for shared in plan.shared:
        imprints = len({each for each in shared.imprints if each})
        less = f" less {many(imprints, 'imprint')}" if imprints else ""
        skies = "".join(f"{sky.name} to " for sky in shared.references)
        yield (
            names[shared.digest],
            f"{KINDS.named(shared.kind).verb} {skies}{many(len(shared.members), 'exposure')}{less} "
            f"over {shared.window}, once, for {many(sharing[shared.digest], 'target')}",
        )


def _what(unit: Unit, names: Mapping[str, str]) -> str:
    imprint = unit.imprint.location if unit.imprint else None
    if not unit.verdict.to_do:
        less = f"; its imprint {imprint.name} is subtracted" if imprint else ""
        return f"{unit.verdict.state.value}{less}"
    if unit.shared:
        return f"subtract {f'imprint {imprint.name}, ' if imprint else ''}{names[unit.shared]}"
    skies = unit.references.background if unit.references else ()
    beside = KINDS.named(unit.kind).beside
    return f"scale and subtract {', '.join(sky.name for sky in skies)}{beside}"


def remarks(verdict: Verdict) -> list[str]:
    """Return what a user should know about a product, a sentence each."""
    words = list(verdict.record.mismatches) if verdict.record else []
    found = verdict.record.found if verdict.record else None
    if found is not None and not isinstance(found, ImageFound):
        blank = found.unsubtracted if isinstance(found, TemplateFound) else 0
        if blank:
            number = many(blank, "pixel is as it was", "pixels are as they were")
            words.append(f"{number}: a template has no value there")
        return [*words, *found.fit_warnings]
    if found is None:
        return words
    if found.unsubtracted_pixels:
        number = many(found.unsubtracted_pixels, "pixel has", "pixels have")
        are = "is" if found.unsubtracted_pixels == 1 else "are"
        words.append(f"{number} no valid background and {are} valid in the target")
    if found.unused_backgrounds:
        words.append(f"no valid pixel in {', '.join(found.unused_backgrounds)}")
    return [*words, *(found.warnings or ()), *(found.error_notes or ())]
