"""The one facade: what a notebook, a script or the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask.utils import parse_bytes

from bkgflow.association import load
from bkgflow.campaign.events import Listener
from bkgflow.campaign.executors import ClusterExecutor, ThreadExecutor
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.runner import run_plan
from bkgflow.clusters.open import connected
from bkgflow.errors import AssociationError, SettingsError, UsageError
from bkgflow.explore.stack import combine, open_exposure, open_stack
from bkgflow.graph.single import subtract_file, subtract_one
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import split_list
from bkgflow.io.storage.publish import check_writable, not_writable
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY, make_plan
from bkgflow.report.drawing import draw_product
from bkgflow.settings import StepSettings

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "combine",
    "draw",
    "open_exposure",
    "open_stack",
    "plan",
    "run",
    "subtract",
    "subtract_to_file",
    "task_memory",
]

MIN_WORKER_MEMORY = 256 << 20
"""Bytes: less than this and a worker cannot even import what it needs."""

log = logging.getLogger(__name__)


def subtract(
    target: Any,
    bkg_list: Any = None,
    *,
    output_dir: str | Path | None = None,
    references: str | Path | None = None,
    **step_arguments: Any,
) -> Any:
    """Subtract the combined background from one exposure.

    Parameters
    ----------
    target : path, data model or association
        The exposure; or an association of one product: its background members are used, and
        ``bkg_list`` only if it has none.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures.
    output_dir : path, optional
        Where ``save_combined_background`` writes; the current folder by default.
    references : path, optional
        A folder of reference files for WFSS and SOSS, matched by their keywords; CRDS is asked
        without one.
    **step_arguments
        The names and defaults of the reference step (``sigma``, ``maxiters``, ``wfss_maxiter``,
        ``override_bkg``, …): see `bkgflow.settings.StepSettings`.

    Returns
    -------
    JwstDataModel
        A new model of the target's type; ``meta.cal_step.bkg_subtract`` says COMPLETE, SKIPPED
        or FAILED, ``meta.bkgflow`` what was done. The target itself is never changed.

    Raises
    ------
    BkgflowError
        With file, rule, value and cure, if an argument or an input is bad.
    """
    settings = StepSettings.of(**step_arguments)
    target, backgrounds, catalogs = _resolved(target, bkg_list)
    folder = _folder(references)
    place = Path(output_dir or ".")
    return subtract_one(target, backgrounds, settings, place, folder, catalogs)


def subtract_to_file(
    target: str | Path,
    bkg_list: Any = None,
    output_dir: str | Path = ".",
    references: str | Path | None = None,
    **step_arguments: Any,
) -> Path:
    """Do `subtract` and write the product, named as the pipeline names it; return its path.

    Raises
    ------
    BkgflowError
        As `subtract`; and if the product cannot be written, or would replace an input.
    """
    settings = StepSettings.of(**step_arguments)
    check_writable(output_dir)
    target, backgrounds, catalogs = _resolved(target, bkg_list)
    folder = _folder(references)
    return subtract_file(target, backgrounds, settings, Path(output_dir), folder, catalogs)


def plan(
    program: Any,
    output: str | Path,
    *,
    memory: int = DEFAULT_MEMORY,
    references: str | Path | None = None,
    **step_arguments: Any,
) -> Plan:
    """Look at a program once and decide everything that a run will do.

    Parameters
    ----------
    program : path, list of paths, or folder
        An association, a folder of ``*_asn.json``, or a list of these.
    output : path
        Folder of the products; a run makes it if it is not there.
    memory : int
        Bytes of pixels that one combine task may hold at a time.
    references : path, optional
        As for `subtract`.
    **step_arguments
        As for `subtract`.

    Returns
    -------
    Plan
        Frozen; prints as a table; ``save`` keeps it as JSON.

    Raises
    ------
    UsageError, OutputError
        If nothing can be planned. A unit with a bad input does not raise: it is QUARANTINED
        in the plan, with its error.
    """
    return make_plan(program, output, StepSettings.of(**step_arguments), memory, references)


def run(
    plan: Plan,
    cluster: str | Client = "local",
    *,
    workers: int | None = None,
    memory: str | None = None,
    listeners: Iterable[Listener] = (),
) -> RunResult:
    """Compute a plan and write its products.

    Parameters
    ----------
    plan : Plan
        From `plan`, or `Plan.load`.
    cluster : "local", "threads", an address, or Client
        Worker processes on this machine; threads of this process; the scheduler at an address
        such as ``tcp://host:8786``; or a client that is already connected.
    workers : int, optional
        Processes of a local cluster, or threads; one per core by default.
    memory : str, optional
        Memory limit of each process of a local cluster ("4GiB").
    listeners : iterable of callables
        Told of every event (`bkgflow.campaign.events`) as it happens.

    Returns
    -------
    RunResult
        The end of every unit; prints as a table.

    Raises
    ------
    UsageError
        If this is no plan, or there is no such cluster.
    """
    if not isinstance(plan, Plan):
        raise UsageError(
            "A run takes a plan",
            value=repr(plan)[:200],
            cure="Make one with bkgflow.plan(program, output), or read one with Plan.load",
        )
    if cluster == "threads":
        return run_plan(plan, ThreadExecutor(workers), listeners)
    with connected(cluster, workers, memory) as client:
        return run_plan(plan, ClusterExecutor(client), listeners)


def draw(target: str | Path, product: str | Path, picture: str | Path) -> Path:
    """Draw a target before, what was subtracted from it, and its product, as PNG.

    Of a cube, the mean over the integrations is drawn; of a slitless exposure, its mask as well;
    of a SOSS exposure, where its sky was fitted, and the scales over time: those of all its
    segments whose products lie in one folder.

    Parameters
    ----------
    target, product : path
        The exposure and what became of it.
    picture : path
        Of the PNG.

    Raises
    ------
    InputError
        If a file is bad.
    UsageError
        If matplotlib is not installed.
    OutputError
        If the picture cannot be written.
    """
    try:
        return draw_product(target, product, picture)
    except OSError as problem:
        raise not_writable(Path(picture), problem) from None


def task_memory(worker_memory: str | None) -> int:
    """Return the bytes that a combine task may hold, at most a quarter of a worker's limit.

    Raises
    ------
    SettingsError
        If the limit cannot be read.
    """
    if worker_memory is None or worker_memory == "auto":
        return DEFAULT_MEMORY
    try:
        limit = int(parse_bytes(worker_memory))
    except (ValueError, OverflowError):
        limit = 0
    if limit < MIN_WORKER_MEMORY:
        raise SettingsError(
            f"A worker's memory limit is a size of at least {MIN_WORKER_MEMORY >> 20} MiB",
            value=worker_memory,
            cure="Give a size such as 4GiB",
        )
    return min(DEFAULT_MEMORY, limit // 4)


def _folder(references: str | Path | None) -> ReferenceFolder | None:
    return None if references is None else ReferenceFolder(references)


def _resolved(target: Any, bkg_list: Any) -> tuple[Any, list[Any], tuple[str, ...]]:
    """Return target, backgrounds and catalogues, out of an association where one was given."""
    backgrounds = split_list(bkg_list)
    if isinstance(target, str | Path) and Path(target).suffix.lower() == ".json":
        return _only_product(target, backgrounds)
    return target, backgrounds, ()


def _only_product(
    path: str | Path, backgrounds: list[Any]
) -> tuple[str, list[Any], tuple[str, ...]]:
    """Return what an association of one product names: target, backgrounds, catalogues."""
    association = load(path)
    for _, error in association.refused:
        raise error
    if len(association.products) > 1:
        raise AssociationError(
            "A single subtraction takes an association of one product",
            file=path,
            value=f"{len(association.products)} products",
            cure="Use bkgflow run (bkgflow.plan and bkgflow.run) for all of them",
        )
    product = association.products[0]
    for note in product.notes:
        log.info("%s: %s", association.location, note)
    for kind, member in product.others:
        if kind == "sourcecat":
            continue
        log.info("%s: %s member %s is left alone", association.location, kind, member)
    if product.backgrounds and backgrounds:
        log.warning("%s: its own background members are used, not bkg_list", association.location)
    catalogs = tuple(str(path) for kind, path in product.others if kind == "sourcecat")
    return str(product.science), [*map(str, product.backgrounds)] or backgrounds, catalogs
