"""The store of a campaign's products: made before the first one, listing all after the last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bkgflow.campaign.log import log
from bkgflow.campaign.result import RunResult
from bkgflow.errors import OutputError
from bkgflow.io.storage.refused import asking_about
from bkgflow.planning.plan import Plan

__all__ = ["answering", "listed", "prepare_store"]


@contextmanager
def answering(plan: Plan) -> Iterator[None]:
    """See that the store of a plan can be asked what it holds, before anything is begun.

    Raises
    ------
    StorageError
        If it does not answer.
    """
    store = plan.outputs.store
    if store is not None:
        with asking_about(store):
            store.exists()
    yield


def prepare_store(plan: Plan) -> None:
    """Make the store of a plan, where it has one; `OutputError` if it cannot be made."""
    if plan.outputs.store is not None:
        from bkgflow.io.zarr.stores import make_store  # zarr takes half a second to import

        make_store(plan.outputs.store, plan.output)


def listed(result: RunResult) -> RunResult:
    """Have the store of a run's products list them; say in the result if it cannot."""
    store = result.plan.outputs.store
    if store is None:
        return result
    from bkgflow.io.zarr.stores import finish_store

    try:
        finish_store(store)
    except OutputError as problem:
        log.warning("%s", problem)
        return result.noted(f"the store does not list its products: {problem.message}")
    return result
