"""Tasks that step aside while the disk works: the worker's thread does the next unit meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from distributed import secede

from bkgflow.io.storage.publish import before_sync

__all__ = ["stepping_aside"]

MOST_ASIDE = 2
"""Tasks of a process that may wait beside its threads. With more of them a slow disk would only
get a longer queue, and what they hold takes memory."""

_places = threading.BoundedSemaphore(MOST_ASIDE)


def stepping_aside(task: Callable[..., Any], *arguments: Any) -> Any:
    """Call a task on a worker; when its product is written and to be synced, leave the thread.

    The task ends as it would have, with its product on the disk and at its place.
    """
    inside = True
    with ExitStack() as stack:

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                stack.enter_context(_places)
                secede()

        with before_sync(leave):
            return task(*arguments)
