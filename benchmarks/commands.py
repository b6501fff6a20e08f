"""The commands of ``python -m benchmarks``: each measures something, and says it in a table."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.agree import share_alike
from benchmarks.breakdown import breakdown
from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.choose import choose
from benchmarks.crashes import CRASHES, run_crashes, write_page
from benchmarks.crashes import as_table as crashes_table
from benchmarks.crowd import as_table as crowd_table
from benchmarks.crowd import measure_crowd
from benchmarks.curves import CURVES
from benchmarks.faults import ALL, run_faults
from benchmarks.faults import as_table as faults_table
from benchmarks.inputs import Inputs
from benchmarks.pairs import run_in_turns
from benchmarks.picture import draw
from benchmarks.same import as_table as sameness
from benchmarks.same import compare_programs, summary
from benchmarks.same_programs import PROGRAMS
from benchmarks.scale import as_table as growth
from benchmarks.scale import measure, results_of
from benchmarks.table import as_markdown, as_table, merged, result_of, stages_table, write_json
from benchmarks.trees import as_table as pairs_table
from benchmarks.trees import measure as measure_trees

__all__ = ["app"]

HERE = Path(__file__).parent

Data = Annotated[Path, typer.Option(help="Folder of the simulated files; kept for the next time.")]
Output = Annotated[Path, typer.Option(help="Folder that the results are written to.")]
Only = Annotated[list[str] | None, typer.Option("--case", help="Only this case; repeatable.")]
Runs = Annotated[int | None, typer.Option(min=1, help="Turns of each case.")]
Size = Annotated[
    int | None, typer.Option(help="Side of the images, for a quick look.", min=16, max=2048)
]

Tree = Annotated[Path, typer.Argument(help="A checkout of bkgflow.", exists=True, file_okay=False)]

app = typer.Typer(
    help="Speed and memory beside the reference step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def bench(
    case: Only = None,
    runs: Runs = None,
    data: Data = HERE / "data",
    output: Output = HERE,
    size: Size = None,
    listing: Annotated[bool, typer.Option("--list", help="Name the cases and stop.")] = False,
) -> None:
    """Run bkgflow and the reference step side by side; table, results.json, results.md.

    Cases that are left out keep their last results, if machine and versions are still the same.
    """
    if listing:
        for each in CASES.values():
            typer.echo(f"{each.name:20} {each.title}")
        return
    inputs = Inputs(data.absolute(), _say, size)
    found = {name: _measure(CASES[name], inputs, runs) for name in _chosen(case, CASES)}
    path = output / "results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    stages = None if case else _stages(inputs)
    results = merged(before, found, CASES, stages)
    write_json(path, results)
    (output / "results.md").write_text(as_markdown(results), encoding="utf-8")
    _print(as_table(results))
    if results.get("stages"):
        _print(stages_table(results["stages"]))


@app.command()
def scale(
    curve: Annotated[
        list[str] | None, typer.Option("--curve", help="Only this curve; repeatable.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each point.")] = 2,
    data: Data = HERE / "data",
    output: Output = HERE,
) -> None:
    """Measure how the cost grows; table, scale.json, scale.png."""
    inputs = Inputs(data.absolute(), _say)
    names = _chosen(curve, CURVES)
    results = results_of({name: measure(CURVES[name], inputs, runs, _say) for name in names})
    write_json(output / "scale.json", results)
    draw(results, output / "scale.png")
    _print(growth(results))


@app.command()
def same(
    old: Tree,
    new: Tree,
    program: Annotated[
        list[str] | None, typer.Option("--program", help="Only this program; repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the images.", min=32, max=2048)] = 128,
) -> None:
    """Whether two checkouts simulate the same files and make the same products.

    Dates, keys and the layout of the record may differ; these differences are listed. Any other
    is an error. Exit code 0: the same; 1: not.
    """
    programs = [PROGRAMS[name] for name in _chosen(program, PROGRAMS)]
    found = compare_programs((old.resolve(), new.resolve()), programs, size, _say)
    _print(sameness(found))
    for line in summary(found):
        typer.echo(line)
    different = [line for each in found for line in each.different]
    for line in different:
        typer.echo(f"DIFFERENT: {line}")
    if different:
        raise typer.Exit(1)


@app.command()
def trees(
    old: Tree,
    new: Tree,
    case: Only = None,
    runs: Runs = None,
    data: Data = HERE / "data",
    size: Size = None,
) -> None:
    """Run bkgflow's side of the cases on two checkouts in turns, over the same files.

    Exit code 0: the new one is not slower, beyond the noise, in any case; 1: it is.
    """
    both = (old.resolve(), new.resolve())
    pairs = [
        measure_trees(CASES[name], both, data.absolute(), size, runs, _say)
        for name in _chosen(case, CASES)
    ]
    _print(pairs_table(pairs))
    if any(pair.slower for pair in pairs):
        raise typer.Exit(1)


@app.command()
def faults(
    case: Only = None,
    units: Annotated[int, typer.Option(min=40, help="Units of the program.")] = 60,
    kills: Annotated[int, typer.Option(min=1, help="Kills, where it is left to chance.")] = 5,
    listing: Annotated[bool, typer.Option("--list", help="Name the cases and stop.")] = False,
) -> None:
    """Hurt runs on purpose, with real processes, and see that each ends as it should.

    Cases that need a disk of their own are tried by a user who may mount one. Exit code 0: all
    are right; 1: one is not.
    """
    if listing:
        for name, (title, _) in ALL.items():
            typer.echo(f"{name:20} {title}")
        return
    rows = run_faults(_chosen(case, ALL), units, kills, _say)
    _print(faults_table(rows))
    if any(row.right is False for row in rows):
        raise typer.Exit(1)


@app.command()
def crashes(
    case: Only = None,
    units: Annotated[int, typer.Option(min=8, help="Units of the program.")] = 24,
    times: Annotated[int, typer.Option(min=1, help="Kills, where it is left to chance.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what is left to chance.")] = 1,
    page: Annotated[
        Path | None, typer.Option(help="A page that the table is written into.", exists=True)
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Name the cases and stop.")] = False,
) -> None:
    """Let runs die with real processes, give the same command again, and look what came of it.

    Every product must be that of an undisturbed run, nothing that the ledger had as complete may
    be done again, and no other file may be left. Exit code 0: all is right; 1: something is not.
    """
    if listing:
        for name, (title, _) in CRASHES.items():
            typer.echo(f"{name:20} {title}")
        return
    rows = run_crashes(_chosen(case, CRASHES), units, times, seed, _say)
    _print(crashes_table(rows))
    if page is not None:
        write_page(page, rows, units, seed)
    if not all(row.right for row in rows):
        raise typer.Exit(1)


@app.command()
def crowd(
    units: Annotated[int, typer.Option(min=100, help="Units of the program.")] = 10_000,
    bad: Annotated[float, typer.Option(min=0, max=0.5, help="Share of them that is bad.")] = 0.03,
    cluster: Annotated[
        list[str] | None, typer.Option("--cluster", help="local, threads, apart; repeatable.")
    ] = None,
) -> None:
    """Run ten thousand small units, some of them bad: counts, memory, the driver's time, resume.

    Exit code 0: every unit ended as it must, and nothing was done again; 1: not.
    """
    found = measure_crowd(units, bad, cluster or ["apart", "threads"], _say)
    _print(crowd_table(found))
    if any(each.wrong for each in found):
        raise typer.Exit(1)


app.command()(choose)


def _stages(inputs: Inputs) -> dict[str, Any]:
    """Measure what the time is made of."""
    _say("what the time is made of")
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=inputs.folder) as scratch:
        return breakdown(inputs, Path(scratch) / "out")


def _chosen(names: list[str] | None, known: Iterable[str]) -> list[str]:
    """Return the known names that are asked for, all if none is."""
    known = list(known)
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"{name} is none of {', '.join(known)}")
    return [name for name in known if not names or name in names]


def _measure(case: Case, inputs: Inputs, runs: int | None) -> dict[str, Any]:
    """Run one case in a scratch folder of its own."""
    started = time.monotonic()
    _say(f"{case.name}: {case.title}")
    inputs.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=inputs.folder))
    try:
        contenders = case.contenders(inputs, scratch)
        samples = run_in_turns(contenders, runs or case.runs, lambda line: _say(f"  {line}"))
        alike = share_alike(scratch) if case.compare else None
        result = result_of(case, samples, alike)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for bar in result["bars"]:
        word = "met" if bar["met"] else "missed"
        _say(f"  {bar['what']}: {bar['value']:.3g}, {bar['sense']} {bar['limit']:g}: {word}")
    _say(f"  took {time.monotonic() - started:.0f} s")
    return result


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    console.print(table)


@app.command()
def bucket(
    size: Annotated[int, typer.Option(help="Side of the images.", min=64, max=2048)] = 1024,
    targets: Annotated[int, typer.Option(help="Exposures whose product is made.", min=1)] = 12,
    turns: Annotated[int, typer.Option(help="Times that each way is taken.", min=1)] = 3,
) -> None:
    """Run a program from a disk, from a bucket, and from a bucket that is 20 ms away."""
    from benchmarks.bucket import as_lines, measure_bucket

    with tempfile.TemporaryDirectory() as folder:
        found = measure_bucket(Path(folder), size=size, targets=targets, turns=turns)
    for line in as_lines(found):
        typer.echo(line)


@app.command()
def limits(
    part: Annotated[
        list[str] | None, typer.Option("--part", help="Only this part; repeatable.")
    ] = None,
    data: Data = HERE / "data",
    output: Output = HERE,
    page: Annotated[
        Path | None, typer.Option(help="A page that the tables are written into.", exists=True)
    ] = None,
    quick: Annotated[bool, typer.Option(help="All of it as small as can be: it says nothing.")] = (
        False
    ),
) -> None:
    """What limits many workers and many units: limits.json, limits.png, and tables of a page.

    Parts: planning, ledger, disk, model, scheduler; those left out keep their last results.
    """
    from benchmarks.limits import PARTS, QUICK, measure_limits
    from benchmarks.limits_page import draw_limits, tables
    from benchmarks.page import write_tables

    path = output / "limits.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    chosen = _chosen(part, PARTS)
    if quick:
        found = measure_limits(Inputs(data.absolute(), _say, 32), _say, chosen, QUICK, 40, 0.5)
    else:
        found = measure_limits(Inputs(data.absolute(), _say), _say, chosen)
    results = before | found
    write_json(path, results)
    if set(PARTS) <= results.keys():
        draw_limits(results, output / "limits.png")
        if page is not None:
            write_tables(page, "limits", tables(results))
        for table in tables(results).values():
            typer.echo(f"{table}\n")
