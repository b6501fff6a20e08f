"""Warnings of astropy, asdf and stdatamodels that no user can act on: not shown, in any thread.

`warnings.catch_warnings` is for one thread at a time: where several are within, the first that
leaves shows the others' warnings, and the last one may leave the filters as they never were.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["unwarned"]

_lock = threading.Lock()
_within = 0
_filters = ExitStack()


@contextmanager
def unwarned() -> Iterator[None]:
    """Show no warning of this process as long as any thread is within; errors are raised."""
    global _within  # noqa: PLW0603 - the filters are those of the process, too
    with _lock:
        if _within == 0:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                _filters.close()
