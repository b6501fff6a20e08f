"""A target opened, and its product begun, beside the work that the product waits for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import ClassVar, NamedTuple

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.fits import OpenFile
from bkgflow.io.products.writer import Changes, OpenTarget, ProductWriter
from bkgflow.io.storage.location import Location
from bkgflow.verdict import Verdict

__all__ = ["Foreseen", "opened_ahead"]


class Foreseen(NamedTuple):
    """What a product will most likely be, and where: see `OpenFile.begin`."""

    changes: Changes
    verdict: Verdict
    to: Location


class _Ahead:
    """A writer whose one target is being opened by another thread; its product is of no run."""

    summed: ClassVar[bool] = False

    def __init__(
        self,
        writer: ProductWriter,
        target: ExposureFacts,
        foreseen: Foreseen | None,
        stack: ExitStack,
    ) -> None:
        def begin() -> OpenTarget:
            opened = stack.enter_context(writer.open(target))
            if foreseen is not None and isinstance(opened, OpenFile):
                opened.settled = partial(wait, self._settling)
                opened.begin(*foreseen)
            return opened

        self._pool = stack.enter_context(ThreadPoolExecutor(1))
        self._settling = list[Future[None]]()
        self._opening = self._pool.submit(begin)

    def settle(self, changes: Changes, threads: int = 1) -> None:
        """See `Settling`: in the other thread, after what it does already."""
        self._settling.append(self._pool.submit(self._settle, changes, threads))

    def _settle(self, changes: Changes, threads: int) -> None:
        if isinstance(opened := self._opening.result(), OpenFile):
            opened.settle(changes, threads)

    @contextmanager
    def open(self, target: ExposureFacts) -> Iterator[OpenTarget]:
        """Wait for the target; what is wrong with it is raised here, where it is asked for."""
        yield self._opening.result()


@contextmanager
def opened_ahead(
    writer: ProductWriter, target: ExposureFacts, foreseen: Foreseen | None = None
) -> Iterator[ProductWriter]:
    """Give a writer for one target, which is opened while its background is combined.

    Opening takes the interpreter, combining leaves it alone; what does not change of the pixels
    waits for a disk, combining does not: for a single product all goes side by side. It cannot
    leave this process, so that a run has no use for it.
    """
    with ExitStack() as stack:
        yield _Ahead(writer, target, foreseen, stack)
