"""``bkgflow warm-up``: compile everything once, before a run needs it."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["warm_up"]


def warm_up(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]…", help="Only for these kinds of units: image, slitless, soss."
        ),
    ] = None,
) -> None:
    """Compile the kernels for this machine and keep the machine code.

    A first run does so as well, within a minute or two; on a cluster, in each machine of its
    own. The code lies beside the sources, or in NUMBA_CACHE_DIR, and is used until bkgflow or
    numba changes.
    """
    from bkgflow.cli.terminal import say
    from bkgflow.kinds import warm

    warm.warm_up(kinds or None, say=say)
