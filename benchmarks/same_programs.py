"""The programs that two trees are held against each other with, and the ways they are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PROGRAMS", "Program"]

Arguments = tuple[str, ...]
"""As they are typed; {size} is the side of the images; {mask} an earlier slitless product, whose
MASK is taken; {nothing} a mask without any background."""

PLAIN: Mapping[str, Arguments] = {"plain": ()}
ERRORS: Arguments = ("--propagate-errors", "--save-combined-background")


@dataclass(frozen=True, slots=True)
class Program:
    """One simulated program.

    Attributes
    ----------
    name : str
        Of the program.
    simulate : tuple of str
        What follows ``bkgflow``, up to the folder.
    options : tuple of str
        What follows the folder.
    runs : mapping
        By name, the options of ``bkgflow run``.
    folders, references : str
        In the simulated folder, a pattern of the folders of associations, if it is not one
        itself; and where the references are, if there are any.
    spoil : callable, optional
        Changes the simulated files before they are run.
    """

    name: str
    simulate: Arguments
    options: Arguments = ()
    runs: Mapping[str, Arguments] = field(default_factory=lambda: PLAIN)
    folders: str = ""
    references: str = ""
    spoil: Callable[[Path], None] | None = None


def _spoil(folder: Path) -> None:
    """Cut one target short, take one away, make one no FITS file; the fourth one stays good."""
    short, gone, text, *_ = sorted(folder.glob("*_rate.fits"))
    with short.open("r+b") as stream:
        stream.truncate(short.stat().st_size // 2)
    gone.unlink()
    text.write_text("no FITS file\n", encoding="ascii")


SIZE = ("--size", "{size}")

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program(
            "demo",
            ("demo",),
            SIZE,
            {"run": ("--save-combined-background", "--soss-fit", "integration")},
            folders="program/*",
            references="references",
        ),
        Program(
            "imaging",
            ("simulate", "imaging"),
            SIZE,
            {
                "plain": (),
                "errors": ERRORS,
                "clip": ("--sigma", "2", "--maxiters", "1", "--save-combined-background"),
            },
        ),
        Program(
            "imaging-parts",
            ("simulate", "imaging"),
            (*SIZE, "--subarrays", "--instrument", "MIRI", "--seed", "2"),
            {"errors": ERRORS},
        ),
        Program("imaging-spoiled", ("simulate", "imaging"), (*SIZE, "--seed", "3"), spoil=_spoil),
        Program("nods", ("simulate", "nods"), SIZE, {"plain": (), "errors": ERRORS}),
        Program("tso", ("simulate", "tso"), SIZE, {"plain": (), "errors": ERRORS}),
        Program(
            "wfss",
            ("simulate", "wfss"),
            SIZE,
            {
                "boxes": (),
                "residual": ("--wfss-mask-mode", "residual"),
                "auto": ("--wfss-mask-mode", "auto", "--wfss-rms-stop", "1"),
                "orders": ("--wfss-orders", "all", "--wfss-mmag-extract", "24"),
                "mask": ("--wfss-mask", "{mask}", "--wfss-maxiter", "2"),
                "all-masked": ("--wfss-mask", "{nothing}"),
                "no-sky": ("--override-bkg", "N/A"),
            },
            references="references",
        ),
        Program(
            "wfss-components",
            ("simulate", "wfss"),
            (*SIZE, "--instrument", "NIRCam", "--components", "2", "--crowding", "0.9"),
            {"boxes": (), "auto": ("--wfss-mask-mode", "auto")},
            references="references",
        ),
        Program(
            "soss",
            ("simulate", "soss"),
            ("--integrations", "6", "--segments", "3", "--templates", "3", "--drift", "0.05"),
            {
                "exposure": (),
                "file": ("--soss-fit", "file"),
                "integration": ("--soss-fit", "integration"),
                "percentiles": ("--soss-bkg-percentile", "20,60", "--soss-source-percentile", "50"),
            },
            references=".",
        ),
        Program(
            "soss-96",
            ("simulate", "soss"),
            ("--subarray", "SUBSTRIP96", "--integrations", "4", "--segments", "1"),
            references=".",
        ),
    )
}
"""All programs by name."""
