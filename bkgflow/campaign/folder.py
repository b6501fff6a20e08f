"""The output folder of a run: whether it has room, and whether what is reported lies in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bkgflow.errors import OutputError, RunError, StorageError
from bkgflow.io.storage.holder import Holder
from bkgflow.io.storage.leftovers import clear_dead, clear_run
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.space import free_space, name_in, sizes_in, stamps_of
from bkgflow.planning.plan import Plan
from bkgflow.report.tables import human_bytes
from bkgflow.verdict import State, Verdict

__all__ = ["Products", "check_space", "cleared", "gone", "result_size"]

BESIDE = 8
"""Files that a run needs beside its products: log, result, lock, and hidden folders."""

RESULT_BASE, RESULT_UNIT = 64 << 10, 4 << 10
"""Bytes of a result file: of any, and of each unit."""

PRODUCT_MORE = 16 << 10
"""Bytes by which a product may be larger than its target: its HISTORY, its record."""

UNDER_WAY = 4
"""Products that may be written at a time, each beside the older one that it replaces."""

PATIENCE = 5.0
"""Seconds that a run waits, in all, for files that workers have reported and it cannot see yet:
network disks show new files late."""


def result_size(plan: Plan) -> int:
    """Return the bytes that are kept free for the result of a plan, its log's end among them."""
    scales = sum(each.n_integrations or 0 for each in plan.exposures)
    return RESULT_BASE + RESULT_UNIT * len(plan.units) + 100 * scales


def check_space(plan: Plan) -> list[str]:
    """Refuse a plan whose products do not fit on the disk; return what is to be said else.

    A product that is there already gives its room back when its new version has replaced it.

    Raises
    ------
    StorageError
        If bytes or files are too few.
    """
    free, there = free_space(plan.output), sizes_in(plan.output)
    wanted = [unit for unit in plan.units if unit.verdict.state != State.QUARANTINED]
    names = [name for unit in wanted for name in unit.files]
    replaced = [there[name] for name in names if name in there]
    written = plan.costs.written + PRODUCT_MORE * len(names) + result_size(plan)
    largest = max((plan.facts()[unit.target].identity.size for unit in wanted), default=0)
    size = max(written - sum(replaced), 0) + largest * min(UNDER_WAY, len(replaced))
    files = len(names) - len(replaced) + BESIDE
    short = []
    if free.size is not None and free.size < size:
        short.append(f"{human_bytes(size)} are to be written, {human_bytes(free.size)} are free")
    if free.files is not None and free.files < files:
        short.append(f"{files} files are to be written, there is room for {free.files}")
    if short:
        raise StorageError(
            "The products of a plan must fit on the disk of the output folder",
            file=plan.output,
            value="; ".join(short),
            cure="Make room, give a folder on another disk, or run all the same "
            "(--no-check-space, check_space=False)",
        )
    if replaced and free.size is not None and free.size < written:
        return [
            f"{human_bytes(free.size)} are free, {human_bytes(written)} are to be written: "
            "it fits because older products are replaced"
        ]
    return []


def cleared(output: Location, before: Holder | None, store: Location | None = None) -> list[str]:
    """Clear away what dead runs left in an output folder that is held; say what was done.

    Others may write into the same store: there only what the dead holder of the lock left goes.
    """
    said = [f"the lock of a run that is dead was taken over: {before.words}"] if before else []
    if before and store is not None and not store.is_local:
        clear_run(store, before.run)
    for folder in (output, output / "pictures"):
        found = clear_dead(folder)
        if found.removed:
            files = "file" if found.removed == 1 else "files"
            said.append(f"{found.removed} unfinished {files} of dead runs removed from {folder}")
        said.extend(found.kept)
    return said


UNKNOWN = -1
"""The size of a file that was not there when it was asked for."""


def _same(found: int, said: int) -> bool:
    """Whether a file is there, as large as its worker said, if it could say so."""
    return found >= 0 and said in {found, UNKNOWN}


@dataclass
class Products:
    """Looks whether the files that workers report are where the driver sees them.

    Attributes
    ----------
    patience : float
        Seconds left to wait for files that are late.
    """

    output: Location
    patience: float = PATIENCE
    sleep: Callable[[float], object] = time.sleep
    seen: set[str] = field(default_factory=set)

    def looked_at(self, verdict: Verdict) -> Verdict:
        """Return how a unit ended, now that its files were looked for."""
        sizes = verdict.sizes or (UNKNOWN,) * len(verdict.products)
        for path, size in zip(verdict.products, sizes, strict=True):
            found = self._size(Location.of(path), size)
            if not _same(found, size):
                return Verdict.blocked(self._error(path, size, found, verdict.worker))
            self.seen.add(path)
        return verdict

    def _size(self, file: Location, said: int) -> int:
        """Return the bytes of a file, waiting a while for one that is late."""
        found = file.size()
        while not _same(found, said) and self.output.is_dir():
            # A listing has a network disk look anew; it may remember that nothing was there.
            sizes_in(file.parent)
            found = file.size()
            if _same(found, said) or self.patience <= 0:
                break
            self.patience -= 0.5
            self.sleep(0.5)
        return found

    def _error(self, path: str, size: int, found: int, worker: str) -> RunError | StorageError:
        if not self.output.is_dir():
            return gone(self.output)
        rule = "A product that a worker reports must be in the output folder of this process"
        wrote = f"{worker or 'a worker'} has written {'it' if size < 0 else f'{size} bytes'}"
        if found < 0:
            value = f"not there; {wrote}"
            cure = "Give an output folder that all workers and this process share"
        else:
            value = f"{found} bytes; {wrote}"
            cure = "Let no other program write to the output folder while a run goes on"
        return RunError(rule, file=path, value=value, cure=cure)

    def lost(self) -> set[str]:
        """Return which of the files that were seen are not there any more, by one listing."""
        names = {path: name_in(self.output, Location.of(path)) for path in self.seen}
        there = stamps_of(self.output, names.values())
        return {path for path, name in names.items() if name not in there}

    def now(self, verdict: Verdict, lost: set[str]) -> Verdict:
        """Return how a unit stands at the end of a run in which these files were lost."""
        for path in verdict.products:
            if path in lost:
                return Verdict.blocked(
                    OutputError(
                        "A product must stay where it was written while the run goes on",
                        file=path,
                        value="it was there and is gone",
                        cure="Let nobody remove the output folder or its files, and run again",
                    )
                )
        return verdict


def gone(folder: Location) -> StorageError:
    """Return the error for an output folder that was there when the run began."""
    return StorageError(
        "An output folder must be there while a run goes on",
        file=folder,
        value="no such folder any more",
        cure="Let nobody remove it, and run again",
    )
