"""The last task of a unit: open the target, change it, prepare its product; then publish it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from bkgflow.graph.guard import PATIENCE, Patience, guarded
from bkgflow.io.products.writer import Prepared, ProductWriter, Settling, unsettled
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import published as seen_of
from bkgflow.kinds.base import Assignment, Change, Kind
from bkgflow.kinds.imprints import imprint_edits
from bkgflow.verdict import Verdict

__all__ = ["Finished", "finish", "published"]


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A unit that is done but for its files, which nobody sees yet.

    The verdict says how it ends once they are published; the product is the first of them.
    ``summed`` is the writer's.
    """

    verdict: Verdict
    drafts: tuple[Prepared, ...]
    summed: bool = True

    def publish(self) -> Verdict:
        """Make every file appear; if one cannot, those that have not appeared never will."""
        left = list(self.drafts)
        locations = []
        try:
            while left:
                locations.append(left[0].publish())
                del left[0]
        finally:
            for draft in left:
                draft.discard()
        # For the driver, which looks whether it sees the same.
        seen = [seen_of(Location.of(each)) for each in locations if self.summed]
        return self.verdict.published(
            tuple(map(str, locations)),
            tuple(size for size, _ in seen),
            Owner.me().words,
            tuple(checksum for _, checksum in seen),
        )


def finish(
    kind: Kind, writer: ProductWriter, threads: int, work: Assignment, *shared: object
) -> Finished:
    """Do a unit, and prepare its files.

    Parameters
    ----------
    threads : int
        That may write its arrays side by side.
    *shared
        The parts of the result that it waits for, in order.

    Raises
    ------
    InputError, OutputError
        If an input is bad, or the product cannot be written.
    """
    work.target.location.expect(work.target.identity)
    if work.verdict.to_do:
        early = writer.settle if isinstance(writer, Settling) else unsettled
        change = kind.change(work, shared, early)
    else:
        change = Change.ended(work, work.verdict.state, reason=work.verdict.reason)
    drafts: list[Prepared] = []
    try:
        # The imprint comes first, and also where the background is left alone.
        with (
            writer.open(work.target) as opened,
            imprint_edits(work.target, work.imprint) as first,
        ):
            changes = replace(change.changes.after(first), imprint=work.imprint_state)
            drafts.append(opened.product(changes, change.verdict, work.output, threads))
            if (made := change.combined) is not None:
                arrays = made.sci, made.err, made.dq
                extras = {"n_used": changes.extras["n_used"]}  # the rest of them is itself
                for to in work.companions:
                    drafts.append(opened.combined(arrays, work.record, to, extras))
    except BaseException:
        for draft in drafts:
            draft.discard()
        raise
    return Finished(change.verdict, tuple(drafts), writer.summed)


def published(
    task: Callable[..., Finished],
    *shared: object,
    leave: Callable[[], AbstractContextManager[object]] | None = None,
    patience: Patience = PATIENCE,
) -> Verdict:
    """Call a unit's last task and publish its files; return how it ended.

    Parameters
    ----------
    task : callable
        `finish`, but for what the unit waits for.
    *shared
        The parts of the shared result, or the verdict on what went wrong with it.
    leave : callable, optional
        Gives a context in which only the disk is waited for: a worker's thread may do another
        task meanwhile.
    """
    with ExitStack() as beside:
        left = False

        def attempt(*parts: object) -> Verdict:
            nonlocal left
            finished = task(*parts)
            if leave is not None and not left:  # a second attempt has left already
                left = True
                beside.enter_context(leave())
            return finished.publish()

        # What fails while it is published is done again as a whole: after a failed sync nobody
        # knows which of the bytes are on the disk.
        return guarded(attempt, *shared, patience=patience)
