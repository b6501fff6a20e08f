"""Worker processes that do not run the script again which started them.

Python starts a process by importing what its parent was started with, so that functions of a
script can be unpickled. A script that calls `bkgflow.run` without ``if __name__ == "__main__"``
would run again in each worker, and start workers. bkgflow's tasks need nothing of a script, and
what else comes from one is pickled by value: workers are started as if there were none.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

from distributed import Nanny
from distributed.core import Status

from bkgflow.clusters.defaults import AT_LOAD, libraries

__all__ = ["ScriptlessNanny", "without_script"]

_lock = threading.Lock()
_within = 0
_spec: ModuleSpec | None = None
_environment: dict[str, str] = {}


@contextmanager
def without_script() -> Iterator[None]:
    """Let processes that are started meanwhile leave the main module alone.

    `multiprocessing.spawn` does so where the main module is called ``__main__`` by its spec, as a
    package's is; that is what changes here, for as long as anybody is within. What a nanny sets
    in this process's environment for its worker's libraries is taken back afterwards.
    """
    global _within, _spec, _environment  # noqa: PLW0603 - there is one main module in a process
    main: Any = sys.modules["__main__"]
    with _lock:
        if _within == 0:
            _spec = main.__spec__
            main.__spec__ = ModuleSpec("__main__", None)
            _environment = {name: os.environ[name] for name in AT_LOAD if name in os.environ}
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                main.__spec__ = _spec
                _restore(AT_LOAD, _environment)


def _restore(names: Collection[str], environment: dict[str, str]) -> None:
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(environment)


class ScriptlessNanny(Nanny):  # type: ignore[misc]
    """Starts a worker process, and starts it again after its death, without the script.

    Its libraries get the worker's threads, whatever the environment says here.
    """

    async def instantiate(self) -> Status:
        """Start the process, and wait until it is connected."""
        self.pre_spawn_env |= libraries(self.nthreads, AT_LOAD)
        self.env |= libraries(self.nthreads)
        with without_script():
            return await super().instantiate()
