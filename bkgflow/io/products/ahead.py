"""A target opened beside the work that its product waits for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.writer import OpenTarget, ProductWriter

__all__ = ["opened_ahead"]


class _Ahead:
    """A writer whose one target is being opened by another thread."""

    def __init__(self, writer: ProductWriter, target: ExposureFacts, stack: ExitStack) -> None:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        self._opening = pool.submit(stack.enter_context, writer.open(target))

    @contextmanager
    def open(self, target: ExposureFacts) -> Iterator[OpenTarget]:
        """Wait for the target; what is wrong with it is raised here, where it is asked for."""
        yield self._opening.result()


@contextmanager
def opened_ahead(writer: ProductWriter, target: ExposureFacts) -> Iterator[ProductWriter]:
    """Give a writer for one target, which is opened while its background is combined.

    Opening takes the interpreter, combining leaves it alone: for a single product the two go side
    by side. It cannot leave this process, so that a run has no use for it.
    """
    with ExitStack() as stack:
        yield _Ahead(writer, target, stack)
