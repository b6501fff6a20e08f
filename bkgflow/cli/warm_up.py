"""``bkgflow warm-up``: compile everything once, before a run needs it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from bkgflow.errors import UsageError

__all__ = ["warm_up"]


def warm_up(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help="image, cube, rules, cube-rules, slitless or soss; all without one.",
        ),
    ] = None,
) -> None:
    """Compile the kernels for this machine, once, and keep the machine code.

    A first run does so as well; on a cluster, each of its machines. The code lies beside the
    sources, or in NUMBA_CACHE_DIR, and is used until bkgflow or numba changes.
    """
    from bkgflow.kinds import warm

    say = partial(typer.echo, err=True)
    unknown = set(kinds or ()) - set(warm.KINDS)
    if unknown:
        raise UsageError(
            f"A kind must be one of: {', '.join(warm.KINDS)}",
            value=", ".join(sorted(unknown)),
            cure="Name one or several of these, or none for all",
        )
    done = warm.warm_up([kind for kind in warm.KINDS if not kinds or kind in kinds], say)
    if not done.kept:
        say("The machine code cannot be kept: name a folder that can be written, NUMBA_CACHE_DIR")
    typer.echo(f"Compiled: {', '.join(done.compiled) or 'nothing, all was there'}")
