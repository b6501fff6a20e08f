"""Options of the commands that may take a program's own dithers as backgrounds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from bkgflow.cli.given import parameter, takes

__all__ = ["dither_options", "takes_dithers"]

PANEL = "Backgrounds from dithers"


def dither_options() -> list[inspect.Parameter]:
    """Return the options that say which dithers of a group are a background."""

    def option(name: str, kind: Any, metavar: str, text: str) -> inspect.Parameter:
        words = typer.Option(help=text, metavar=metavar, rich_help_panel=PANEL, show_default=False)
        return parameter(name, kind | None, None, words)

    return [
        option("min_offset", float, "ARCSEC", "Leave out dithers that are nearer than this."),
        option(
            "within",
            list[str],
            "EXTENT",
            "Leave out those that are farther away, in time (6h, 30min, 2d) or on the sky "
            "(2arcmin); may be given once for each.",
        ),
        option(
            "at_least",
            int,
            "N",
            "Skip an exposure with fewer than so many others as its background. Default: 2.",
        ),
        option(
            "narrower",
            list[str],
            "WORD",
            "What must be the same besides: observation, or visit.",
        ),
    ]


def takes_dithers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of backgrounds from dithers.

    The command gets those that were given as one mapping, ``dithers``, as `bkgflow.plan` takes
    them.
    """
    words = typer.Option(
        help="dithers: the exposures that were taken alike are each other's background, instead "
        "of what their associations name; a folder of exposures need not have any.",
        metavar="WORD",
        rich_help_panel=PANEL,
        show_default=False,
    )
    made = [parameter("backgrounds", str | None, None, words), *dither_options()]
    return takes(command, "dithers", made)
