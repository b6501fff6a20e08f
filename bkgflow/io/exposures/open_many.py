"""Many sources open at once: as many as the system allows, the others for each read alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bkgflow.detector import Window
from bkgflow.io.exposures.source import Layer, Pixels, Reader, Source
from bkgflow.io.storage.handles import room_for

__all__ = ["opened"]


@dataclass(frozen=True, slots=True)
class _EachTime:
    """A source that is opened anew for every read: slower, and nothing stays open."""

    source: Source

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        with self.source.reader() as reader:
            reader.read(layer, window, out, first)


@contextmanager
def opened(sources: Sequence[Source]) -> Iterator[list[Reader]]:
    """Give a reader of each source; the first ones stay open, so far as files may be open.

    Raises
    ------
    FileError
        If one of them cannot be opened.
    """
    with room_for(len(sources)) as room, ExitStack() as stack:
        held = [stack.enter_context(source.reader()) for source in sources[:room]]
        yield [*held, *map(_EachTime, sources[room:])]
