"""What limits, as tables of a page and as a picture: all from the results, nothing by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.page import markdown_table
from benchmarks.simulated import Knee, knee

__all__ = ["draw_limits", "tables"]

Results = Mapping[str, Any]

UNIT_SECONDS = (0.1, 0.2, 1.0, 10.0)
"""Of a worker, for a unit: small images, a warm full frame, deep ones, long fits."""

CROWDS = (10, 100, 1000, 10_000)
MILLION = 1_000_000


WORDS = {"shared": "8 units share 8 backgrounds", "own": "4 backgrounds for each unit"}


def tables(results: Results) -> dict[str, str]:
    """Return every table as Markdown, by its name."""
    return {
        "scheduler": markdown_table(SCHEDULER, _scheduler(results)),
        "model": markdown_table(MODEL, _model(results)),
        "knee": markdown_table(KNEE, _knee(results)),
        "workers": markdown_table(WORKERS, _workers(results)),
        "million": markdown_table(MILLIONS, _million(results)),
        "disk": markdown_table(DISK, _disk(results)),
        "machine": _machine(results),
    }


def _machine(results: Results) -> str:
    of = results["machine"]
    return (
        f"Measured on {results['date']}: {of['processor']}, {of['cores']} cores, {of['system']}, "
        f"Python {of['python']}, distributed {of['distributed']}."
    )


SCHEDULER = ("units", "workers", "a unit takes", "tasks a unit", "in flight",
             "scheduler, ms a unit", "driver, ms a unit", "scheduler idle", "scheduler had",
             "tasks/s of a whole core", "units/s of a whole core")  # fmt: skip


def _scheduler(results: Results) -> Iterator[list[str]]:
    for run in results["scheduler"]:
        rate = 1000 / run["scheduler_ms"]
        yield [
            WORDS[run["graph"]],
            f"{run['workers']:,}",
            f"{run['unit_seconds']:g} s",
            f"{run['tasks_per_unit']:.1f}",
            f"{run['window']:,}",
            f"{run['scheduler_ms']:.1f}",
            f"{run['driver_ms']:.1f}",
            f"{100 * run['idle']:.0f} %",
            f"{100 * run['scheduler_load']:.0f} %",
            f"{_round(rate * run['tasks_per_unit']):,}",
            f"{_round(rate):,}",
        ]


MODEL = ("two workers", "units", "a unit takes", "scheduler, ms a unit", "driver, ms a unit",
         "scheduler idle")  # fmt: skip


def _model(results: Results) -> Iterator[list[str]]:
    for run in results["model"]:
        yield [
            run["graph"],
            f"{run['units']:,}",
            f"{1000 * run['unit_seconds']:.0f} ms",
            f"{run['scheduler_ms']:.1f}",
            f"{run['driver_ms']:.1f}",
            f"{100 * run['idle']:.0f} %",
        ]


def _runs(results: Results, graph: str) -> list[Mapping[str, Any]]:
    return [run for run in results["scheduler"] if run["graph"] == graph]


def _knees(results: Results, graph: str, seconds: float) -> Knee:
    ledger = results["ledger"]["cpu_ms_per_unit"]
    return knee(_runs(results, graph), seconds, ledger)


KNEE = ("a unit takes of its worker", "units", "scheduler full at", "driver full at",
        "units/s there")  # fmt: skip


def _knee(results: Results) -> Iterator[list[str]]:
    for seconds in UNIT_SECONDS:
        for graph, words in WORDS.items():
            found = _knees(results, graph, seconds)
            yield [
                f"{seconds:g} s",
                words,
                f"{_round(found.scheduler):,} workers",
                f"{_round(found.driver):,} workers",
                f"{_round(min(found.scheduler, found.driver) / seconds):,}",
            ]


WORKERS = ("workers", *(f"{seconds:g} s a unit" for seconds in UNIT_SECONDS))


def _workers(results: Results) -> Iterator[list[str]]:
    for number in CROWDS:
        cells = [f"{number:,}"]
        for seconds in UNIT_SECONDS:
            found = _knees(results, "shared", seconds)
            name, most = min(("scheduler", found.scheduler), ("driver", found.driver), key=_second)
            share = number / most
            cells.append(
                f"{name} {100 * share:.0f} %" if share < 1 else f"**{name}, {share:.1f}×**"
            )
        yield cells


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


MILLIONS = ("of a million units", "measured", "a million, extrapolated")


def _million(results: Results) -> Iterator[list[str]]:
    plan, ledger = results["planning"][-1], results["ledger"]
    run = max(_runs(results, "shared"), key=lambda run: run["workers"])
    of = f"{plan['units']:,} units"
    yield ["planning, one core", f"{plan['ms_per_unit']:.2f} ms a unit ({of})",
           _hours(plan["ms_per_unit"])]  # fmt: skip
    yield ["memory of the plan", f"{plan['bytes_per_unit'] / 1000:.1f} kB a unit",
           f"{plan['bytes_per_unit'] * MILLION / 1e9:.0f} GB"]  # fmt: skip
    yield ["ledger: taking up", f"{ledger['begin_cpu_ms_per_unit']:.2f} ms a unit",
           _hours(ledger["begin_cpu_ms_per_unit"])]  # fmt: skip
    yield ["ledger: how each went", f"{ledger['cpu_ms_per_unit']:.2f} ms a unit; "
           f"{_round(ledger['units_per_second']):,} units/s committed together, "
           f"{_round(ledger['commits_per_second']):,} commits/s one by one",
           _hours(ledger["cpu_ms_per_unit"])]  # fmt: skip
    yield ["ledger's file", f"{ledger['bytes_per_unit'] / 1000:.1f} kB a unit",
           f"{ledger['bytes_per_unit'] * MILLION / 1e9:.1f} GB"]  # fmt: skip
    yield ["counting for a status", f"{ledger['counting_ms']:.1f} ms ({ledger['units']:,} units)",
           f"{ledger['counting_ms'] * MILLION / ledger['units'] / 1000:.1f} s"]  # fmt: skip
    yield ["scheduler, one core", f"{run['scheduler_ms']:.1f} ms a unit "
           f"({run['workers']:,} workers)", _hours(run["scheduler_ms"])]  # fmt: skip
    yield ["driver, one core, without the ledger", f"{run['driver_ms']:.1f} ms a unit",
           _hours(run["driver_ms"])]  # fmt: skip


def _hours(ms: float) -> str:
    seconds = ms / 1000 * MILLION
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


DISK = ("published whole, synced", "measured", "so many full-frame products a second")


def _disk(results: Results) -> Iterator[list[str]]:
    disk = results["disk"]
    for threads in (1, 8):
        rate = disk[f"small_per_second_{threads}"]
        yield [f"files of 4 kB, {threads} at a time", f"{_round(rate):,} files/s", "-"]
    for threads in (1, 4):
        rate = disk[f"large_mb_per_second_{threads}"]
        yield [f"files of {disk['large_bytes'] / 1e6:.0f} MB, {threads} at a time",
               f"{_round(rate):,} MB/s", f"{rate * 1e6 / disk['large_bytes']:.1f}"]  # fmt: skip


def _round(value: float) -> int:
    """Return a number with two digits that count."""
    if value < 100:
        return round(value)
    digits = len(str(int(value))) - 2
    return int(round(value, -digits))


# The picture.


def draw_limits(results: Results, path: Path) -> Path:
    """Draw how many units a second so many workers ask for, and where scheduler and driver end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    colours = ("#0072b2", "#009e73", "#d55e00", "#cc79a7")
    numbers = [10**power for power in range(1, 5)]
    for seconds, colour in zip(UNIT_SECONDS, colours, strict=True):
        found = _knees(results, "shared", seconds)
        most = min(found.scheduler, found.driver)
        axes.plot(numbers, [each / seconds for each in numbers], color=colour, ls=":", lw=1)
        reached = [*(each for each in numbers if each < most), most, max(most, numbers[-1])]
        rates = [min(each, most) / seconds for each in reached]
        axes.plot(reached, rates, color=colour, label=f"{seconds:g} s a unit")
        axes.plot([most], [most / seconds], color=colour, marker="o")
    axes.set(xscale="log", yscale="log", xlabel="workers of one thread", ylabel="units a second")
    title = (
        "What workers could do (dotted), and what one scheduler and driver let them\n"
        "(lines, computed from milliseconds of a unit); o: the knee"
    )
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    return path
