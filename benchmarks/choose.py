"""``python -m benchmarks choose``: which rule for which data, in figures and pictures."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.page import markdown_table, write_tables
from benchmarks.table import write_json

__all__ = ["choose", "tables"]

HERE = Path(__file__).parent
Results = dict[str, Any]
Row = dict[str, Any]

PARTS = ("rules", "dithers", "real")


def choose(
    part: Annotated[
        list[str] | None, typer.Option("--part", help="rules, dithers or real; repeatable.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that choose.json is written to.")] = HERE,
    page: Annotated[
        Path | None,
        typer.Option(help="A page for the tables; pictures beside it.", exists=True),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the dithers.", min=64, max=1024)] = 512,
    quick: Annotated[bool, typer.Option(help="All of it as small as can be: it says nothing.")] = (
        False
    ),
) -> None:
    """Which rule of the stack for which data: tables, choose.json, pictures of docs/choosing.md.

    Parts that are left out keep their last results. Real data are read where BKGFLOW_REAL_DATA
    names their folder.
    """
    chosen = part or list(PARTS)
    for name in chosen:
        if name not in PARTS:
            raise typer.BadParameter(f"{name} is none of {', '.join(PARTS)}")
    path = output / "choose.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    pictures = (page.parent if page else output) / "pictures"
    with tempfile.TemporaryDirectory(prefix="choose-") as scratch:
        results = before | _measure(Path(scratch), chosen, pictures, 64 if quick else size, quick)
    write_json(path, results)
    for table in tables(results).values():
        typer.echo(f"{table}\n")
    if page is not None:
        write_tables(page, "choose", tables(results))


def _measure(
    scratch: Path, chosen: Sequence[str], pictures: Path, size: int, quick: bool
) -> Results:
    from benchmarks.choose_dithers import compare_dithers, example_of
    from benchmarks.choose_nods import demo_nods, real_nods, rules_on_nods
    from benchmarks.choose_pictures import draw_dithers, draw_nods, draw_rules

    logging.disable(logging.WARNING)  # the reference step and its libraries say much
    found: Results = {}
    try:
        if "rules" in chosen:
            _say("nods: rules on noise and on a source")
            found["rules"] = rules_on_nods(2_000 if quick else 50_000)
            draw_rules(found["rules"], pictures / "choosing_rules.png")
            shown, found["nods"] = demo_nods(scratch, 64 if quick else None)
            draw_nods(shown, pictures / "choosing_nods.png")
        if "dithers" in chosen:
            points, drifts = ((4,), (0.02,)) if quick else ((4, 8, 12), (0.0, 0.02))
            rows = compare_dithers(scratch, points, drifts, size, 1 if quick else 4, _say)
            found |= {"dithers": rows, "size": size}
            example = example_of(scratch, points[len(points) // 2], drifts[-1], size)
            draw_dithers(example, pictures / "choosing_dithers.png")
        if "real" in chosen and (rows_of := real_nods(_say)) is not None:
            found["real"] = rows_of
    finally:
        logging.disable(logging.NOTSET)
    return found


def tables(results: Results) -> dict[str, str]:
    """Return the tables of the page as markdown, by their names; of what was measured."""
    makers = {"rules": _rules, "nods": _nods, "dithers": _dithers, "real": _real}
    return {name: maker(results[name]) for name, maker in makers.items() if name in results}


def _rules(rows: Sequence[Row]) -> str:
    """Bias under a source, the worst of all its strengths; dropped, scatter: of pure noise."""
    names = list(dict.fromkeys(row["rule"] for row in rows))
    numbers = sorted({row["n"] for row in rows})
    ends = (numbers[0], numbers[len(numbers) // 2], numbers[-1])

    def line(name: str) -> list[str]:
        own = [row for row in rows if row["rule"] == name]
        bias = [max(abs(row["bias"]) for row in own if row["n"] == n and row["strength"])
                for n in ends]  # fmt: skip
        noise = [row for row in own if not row["strength"]]
        return [
            f"`{name}`",
            *(f"{each:.2g}" if each < 10 else f"{each:.0f}" for each in bias),
            f"{max(row['dropped'] for row in noise):.1%}",
            f"{max(row['scatter'] for row in noise if row['n'] > numbers[0]):.2f}",
        ]

    columns = ["rule", *(f"bias / error, n = {n}" for n in ends), "dropped of pure noise",
               f"scatter of pure noise, n ≥ {numbers[1]}"]  # fmt: skip
    return markdown_table(columns, map(line, names))


def _nods(rows: Sequence[Row]) -> str:
    columns = ["the demo's nods", "bias in the slit", "worst row", "rms"]
    numbers = ("bias", "worst", "rms")
    return markdown_table(columns, ([row["way"], *(f"{row[each]:.2f}" for each in numbers)]
                            for row in rows))  # fmt: skip


def _dithers(rows: Sequence[Row]) -> str:
    """A line for each program and set of pixels; rms / bias of each way."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    programs = list(dict.fromkeys((row["points"], row["drift"]) for row in rows))
    pixels = {"all": ("rms", "bias"), "under sources": ("rms_under", "bias_under")}
    cells = {
        (row["points"], row["drift"], row["way"], name): f"{row[rms]:.2f} / {row[bias]:.2f}"
        for row in rows
        for name, (rms, bias) in pixels.items()
    }
    lines = (
        [f"{points}", f"{drift:.0%}", name, *(cells[points, drift, way, name] for way in ways)]
        for points, drift in programs
        for name in pixels
    )
    return markdown_table(["dithers", "drift", "pixels", *ways], lines)


def _real(rows: Sequence[Row]) -> str:
    """Rules that give the same are one line."""
    numbers = ("median", "scatter", "darkest")
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        cells = [", ".join(f"{value:.4f}" for value in row[each]) for each in numbers]
        name = row["rule"] if row["rule"] == "before" else f"`{row['rule']}`"
        lines.setdefault(tuple(cells), []).append(name)
    columns = ["rule", "medians", "scatters", "darkest rows"]
    return markdown_table(columns, ([", ".join(names), *cells] for cells, names in lines.items()))


def _say(line: str) -> None:
    typer.echo(line, err=True)
