"""From samples to results, and from results to a table and to Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.case import Bar, Case, Samples
from benchmarks.contender import Sample
from benchmarks.machine import facts, today
from benchmarks.pairs import Spread, ratios
from benchmarks.processes import SHORT
from bkgflow.report.tables import human_bytes, make_table

__all__ = [
    "as_markdown",
    "as_table",
    "caption",
    "merged",
    "result_of",
    "side_of",
    "stages_table",
    "write_json",
]

COLUMNS = (
    "case", "bkgflow s", "jwst s", "jwst ÷ bkgflow", "floor s", "bkgflow ÷ floor",
    "peak bkgflow", "peak jwst", "same pixels", "bar", "found", "met",
)  # fmt: skip

Result = dict[str, Any]


def result_of(case: Case, samples: Samples, alike: float | None = None) -> Result:
    """Return what a case showed, as plain values."""
    sides = {name: side_of(taken) for name, taken in samples.items()}
    return {
        "title": case.title,
        "date": today(),
        "runs": len(samples["ours"]),
        "contenders": sides,
        "times_faster_than_peer": _ratio(samples, "peer", "ours"),
        "times_the_floor": _ratio(samples, "ours", "floor"),
        "same_pixels": None if alike is None else round(alike, 7),
        "bars": [_bar(bar, samples) for bar in case.bars],
    }


def merged(
    before: Mapping[str, Any],
    found: Mapping[str, Result],
    order: Iterable[str],
    stages: Mapping[str, Any] | None = None,
) -> Result:
    """Return results that keep the older cases, if they come from the same machine and versions."""
    machine = facts()
    same = before if before.get("machine") == machine else {}
    cases = {**same.get("cases", {}), **found}
    return {
        "machine": machine,
        "cases": {name: cases[name] for name in order if name in cases},
        "stages": stages or same.get("stages", {}),
    }


def stages_table(stages: Mapping[str, Any]) -> Table:
    """Return what the time is made of, for a terminal."""
    return make_table("Milliseconds a target, one thread", *_stages(stages), "")


def _stages(stages: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and a row for each program."""
    names = list(next(iter(stages.values())))
    rows = [[title, *(f"{each[name]:.1f}" for name in names)] for title, each in stages.items()]
    return ["program", *names], rows


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON: no NaN, no infinity."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def as_table(results: Mapping[str, Any]) -> Table:
    """Return the table for a terminal."""
    return make_table("Speed and memory", COLUMNS, _rows(results["cases"]), caption(results))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the same table in Markdown."""
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(row) for row in _rows(results["cases"])]
    titles = [f"- `{name}`: {case['title']}" for name, case in results["cases"].items()]
    head = (
        "Written by `make bench`: medians (least–most) of paired runs. A side that takes less than "
        f"{SHORT:.0f} s runs twice at its turn, and the second run counts."
    )
    text = ["# Speed and memory", "", head, "", *lines, "", *titles, "", caption(results), ""]
    if results.get("stages"):
        columns, rows = _stages(results["stages"])
        text += ["## What the time is made of", "", "Milliseconds a target, one thread.", ""]
        text += [_line(columns), _line(["---"] * len(columns)), *map(_line, rows), ""]
    return "\n".join(text)


def side_of(taken: Sequence[Sample]) -> Result:
    """Return what one contender needed, as plain values."""
    numbers = {
        name: Spread.of([sample.numbers[name] for sample in taken]).to_dict(6)
        for name in taken[0].numbers
    }
    return {
        "seconds": Spread.of([sample.seconds for sample in taken]).to_dict(),
        "peak_bytes": max(sample.peak for sample in taken),
        "peak_bytes_of_one_process": max(sample.peak_one for sample in taken),
        "peak_bytes_above_start": max(sample.increase for sample in taken),
        **({"numbers": numbers} if numbers else {}),
    }


def _ratio(samples: Samples, above: str, below: str) -> dict[str, float] | None:
    if above not in samples or below not in samples:
        return None
    return ratios(samples[above], samples[below]).to_dict(3)


def _bar(bar: Bar, samples: Samples) -> Result:
    value = bar.measure(samples)
    return {
        "what": bar.what,
        "limit": bar.limit,
        "sense": "at least" if bar.at_least else "at most",
        "value": round(value, 4),
        "met": bar.met_by(value),
    }


def _rows(cases: Mapping[str, Result]) -> list[list[str]]:
    """Return a row for each case, and one more for each further bar."""
    rows = []
    for name, case in cases.items():
        first, *more = case["bars"]
        rows.append([name, *_figures(case), *_verdict(first)])
        blank = [""] * (len(COLUMNS) - 3)
        rows.extend([*blank, *_verdict(bar)] for bar in more)
    return rows


def _figures(case: Result) -> list[str]:
    sides = case["contenders"]
    alike = case["same_pixels"]
    return [
        _seconds(sides.get("ours")),
        _seconds(sides.get("peer")),
        _spread(case["times_faster_than_peer"], 1),
        _seconds(sides.get("floor")),
        _spread(case["times_the_floor"], 2),
        _bytes(sides.get("ours")),
        _bytes(sides.get("peer")),
        "" if alike is None else f"{100 * alike:.3f} %",
    ]


def _verdict(bar: Result) -> list[str]:
    sign = "≥" if bar["sense"] == "at least" else "≤"
    found = f"{bar['value']:.3g}"
    return [f"{sign} {bar['limit']:g} {bar['what']}", found, "yes" if bar["met"] else "no"]


def _seconds(side: Result | None) -> str:
    return _spread(side["seconds"], 3) if side else ""


def _spread(values: Mapping[str, float] | None, digits: int) -> str:
    if values is None:
        return ""
    median, least, most = (f"{values[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({least}–{most})"


def _bytes(side: Result | None) -> str:
    return human_bytes(side["peak_bytes"]) if side else ""


def caption(results: Mapping[str, Any]) -> str:
    """Return machine and versions in a line."""
    machine = results["machine"]
    head = f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB"
    rest = [key for key in machine if key not in ("cores", "processor", "memory_gib", "system")]
    return f"{head}; " + ", ".join(f"{name} {machine[name]}" for name in rest)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
