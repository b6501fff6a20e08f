"""Python's garbage collector, put off while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["put_off"]


@contextmanager
def put_off() -> Iterator[None]:
    """Have nobody look for garbage meanwhile; afterwards it is as it was.

    A plan of ten thousand units is a million objects that stay. The collector would go through
    all of them again and again: a sixth of the time of planning, in pauses of up to half a
    second. What is garbage without referring to itself is freed at once, as ever.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
