"""How numba is asked to compile, and what all kernels need."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from pkgutil import get_data, iter_modules
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["SOURCES", "cache_folder", "compiled", "inlined", "read_only"]

Function = TypeVar("Function", bound=Callable[..., object])
Number = TypeVar("Number", bound=np.generic)

OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def _stamp() -> str:
    """Return what changes whenever a file with a kernel in it does."""
    room, folder = __name__.rpartition(".")[0], Path(__file__).parent
    names = sorted(
        f"{drawer.name}/{module.name}.py"
        for drawer in iter_modules([str(folder)])
        for module in iter_modules([str(folder / drawer.name)])
        if module.name.startswith("_")
    )
    return sha256(
        b"".join(get_data(room, each) or b"" for each in ["_compiled.py", *names])
    ).hexdigest()


SOURCES = _stamp()
"""Stands for the text of all kernels."""


def compiled(function: Function, fastmath: Set[str] = frozenset()) -> Function:
    """Compile a kernel that Python calls, without the GIL, as IEEE 754 has it.

    The machine code is kept on disk: beside the source, else in ``NUMBA_CACHE_DIR`` or the
    user's cache folder, and where none of them can be written it is made anew in each process.
    It is also made anew when the text of any kernel changes.
    """
    options = OPTIONS | {"fastmath": set(fastmath)}
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
    return cast(Function, njit(no_cpython_wrapper=True, **OPTIONS)(function))


def cache_folder(kernel: Callable[..., object]) -> Path | None:
    """Return where numba keeps a kernel's machine code; None where it can keep none."""
    path = getattr(getattr(kernel, "stats", None), "cache_path", None)
    return Path(path) if path else None


def read_only(
    array: NDArray[np.generic], dtype: type[Number] | np.dtype[Number]
) -> NDArray[Number]:
    """Return a native, C-contiguous, read-only array: a view where the array is so already.

    For a kernel, arrays that may be written are of another type than others: it is compiled
    once where all that it reads comes from here.
    """
    view = np.require(array, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view
