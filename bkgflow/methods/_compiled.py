"""How numba is asked to compile, and what all kernels need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from pkgutil import get_data, iter_modules
from typing import Protocol, TypeVar, cast

import locket
import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["SOURCES", "cache_folders", "compiled", "inlined", "read_only"]

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


SOURCES = _stamp()  # stands for the text of all kernels


def compiled(function: Function, fastmath: Set[str] = frozenset()) -> Function:
    """Compile a kernel that Python calls, without the GIL, as IEEE 754 has it.

    The machine code is kept on disk: in ``NUMBA_CACHE_DIR``, else beside the source, else in the
    user's cache folder, whichever of them can be written; where none can, it is made anew in each
    process. Those that cannot be written are read: an installation or an image brings its own.
    It is also made anew when the text of any kernel changes.
    """
    options = OPTIONS | {"fastmath": set(fastmath)}
    try:
        kernel = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no place for a cache
        return cast(Function, njit(**options)(function))
    with suppress(AttributeError):  # of another numba: then as numba has it
        cache = kernel._cache
        # Numba compares the text of this function's file alone: machine code that holds an older
        # version of a kernel from another file would be taken for good.
        cache._cache_file._source_stamp = SOURCES
        # Numba passes over every folder that it could not write to, even if the code is there.
        kind, base = type(cache._cache_file), cache._impl.filename_base
        passed = _folders_before(cache.cache_path, function)
        read = [kind(str(each), base, SOURCES) for each in passed]
        lock = Path(cache.cache_path) / f"{base}.lock"
        cache._cache_file = _Layers(cache._cache_file, read, passed, lock)
    return cast(Function, kernel)


class _Files(Protocol):
    """The machine code of a kernel in one folder, by signature and processor."""

    def load(self, key: object) -> object: ...

    def save(self, key: object, data: object) -> None: ...

    def flush(self) -> None: ...


class _Layers:
    """The same, written to one folder and looked for in others as well."""

    def __init__(
        self, own: _Files, read: Sequence[_Files], folders: Sequence[Path], lock: Path
    ) -> None:
        self._own, self._read, self._lock = own, read, lock
        self.folders = folders

    def load(self, key: object) -> object:
        """Return what is kept for a key; None where there is nothing."""
        found = self._own.load(key)
        for each in self._read:
            if found is None:
                with suppress(OSError):  # a folder of somebody else
                    found = each.load(key)
        return found

    def save(self, key: object, data: object) -> None:
        """Keep something.

        Numba reads its index, and writes it again: of two processes that compile one kernel for
        different types, the later would take the other's entry away, or its file's name.
        """
        with suppress(OSError), locket.lock_file(str(self._lock)):
            self._own.save(key, data)
            return
        self._own.save(key, data)  # where nothing can be locked, numba says what else cannot

    def flush(self) -> None:
        """Forget what is kept in the folder that is written to."""
        self._own.flush()


def _folders_before(used: str, function: Callable[..., object]) -> list[Path]:
    """Return where numba looked for a cache before it came to the one that it uses."""
    from numba.core import caching, config

    kinds = [caching.UserProvidedCacheLocator] if config.CACHE_DIR else []
    kinds.append(caching.InTreeCacheLocator)
    file = inspect.getfile(function)
    paths = [str(each(function, file).get_cache_path()) for each in kinds]
    return [Path(path) for path in takewhile(used.__ne__, paths)]


def inlined(function: Function, fastmath: Set[str] = frozenset()) -> Function:
    """Compile a kernel that only kernels call: it becomes a part of them.

    It gets no wrapper for Python and no place on disk: half of the time that compiling takes.
    """
    return cast(
        Function, njit(no_cpython_wrapper=True, fastmath=set(fastmath), **OPTIONS)(function)
    )


def cache_folders(kernel: Callable[..., object]) -> tuple[Path, ...]:
    """Return where a kernel's machine code is kept, and then where it is looked for as well.

    Nothing where it is kept nowhere.
    """
    path = getattr(getattr(kernel, "stats", None), "cache_path", None)
    if not path:
        return ()
    files = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    return (Path(path), *getattr(files, "folders", ()))


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
