"""How numba is asked to compile, and what all kernels need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

__all__ = ["SOURCES", "cache_folder", "compiled", "inlined", "read_only"]

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = {"nogil": True, "error_model": "numpy"}


def _stamp() -> str:
    """Return what changes whenever a file with a kernel in it does."""
    folder = Path(__file__).parent
    sources = [*folder.glob("*/_*.py"), Path(__file__)]
    return sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()


SOURCES = _stamp()
"""Stands for the text of all kernels."""


def compiled(function: Function, **options: Any) -> Function:
    """Compile a kernel that Python calls, without the GIL, as IEEE 754 has it.

    The machine code is kept on disk: beside the source, else in ``NUMBA_CACHE_DIR`` or the
    user's cache folder, and where none of them can be written it is made anew in each process.
    It is also made anew when the text of any kernel changes.
    """
    options |= OPTIONS | {"no_cfunc_wrapper": True}
    try:
        kernel = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no place for a cache
        return cast(Function, njit(**options)(function))
    # Numba compares the date of this function's file alone: machine code that holds an older
    # version of a kernel from another file would be taken for good.
    with suppress(AttributeError):
        kernel._cache._cache_file._source_stamp = SOURCES
    return cast(Function, kernel)


def inlined(function: Function) -> Function:
    """Compile a kernel that only kernels call: it becomes a part of them.

    It gets no wrapper for Python and no place on disk: half of the time that compiling takes.
    """
    return cast(Function, njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function))


def cache_folder(kernel: Callable[..., Any]) -> Path | None:
    """Return where numba keeps a kernel's machine code; None where it can keep none."""
    stats = getattr(kernel, "stats", None)
    return Path(stats.cache_path) if stats is not None and stats.cache_path else None


def read_only(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return a native, C-contiguous, read-only array: a view where the array is so already.

    For a kernel, arrays that may be written are of another type than others: it is compiled
    once where all that it reads comes from here.
    """
    view = np.require(array, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view
