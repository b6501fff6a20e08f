"""The one facade: what a notebook, a script or the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bkgflow.association import load
from bkgflow.campaign.campaign import Campaign
from bkgflow.campaign.events import Listener
from bkgflow.campaign.result import RunResult
from bkgflow.clusters.base import Cluster
from bkgflow.clusters.choose import choose
from bkgflow.errors import AssociationError, UsageError
from bkgflow.explore.stack import combine, open_exposure, open_stack
from bkgflow.graph.single import subtract_file, subtract_one
from bkgflow.io.products.describe import check_writable
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY, make_plan
from bkgflow.report.drawing import draw_product
from bkgflow.report.plan_table import plan_table
from bkgflow.report.run_table import run_table
from bkgflow.report.tables import print_table
from bkgflow.settings import StepSettings, split_list

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "combine",
    "draw",
    "open_exposure",
    "open_stack",
    "plan",
    "run",
    "show",
    "subtract",
    "subtract_to_file",
]

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
        Frozen; `show` prints it as a table; ``save`` keeps it as JSON.

    Raises
    ------
    UsageError, OutputError
        If nothing can be planned. A unit with a bad input does not raise: it is QUARANTINED
        in the plan, with its error.
    """
    return make_plan(program, output, StepSettings.of(**step_arguments), memory, references)


def run(
    plan: Plan,
    cluster: str | Client | Cluster = "local",
    *,
    listeners: Iterable[Listener] = (),
    **options: Any,
) -> RunResult:
    """Compute a plan and write its products, ``bkgflow.log`` and ``bkgflow-run.json``.

    Parameters
    ----------
    plan : Plan
        From `plan`, or `Plan.load`.
    cluster : "local", "threads", an address, Client, or a cluster of `bkgflow.clusters`
        Worker processes on this machine; threads of this process; the scheduler at an address
        such as ``tcp://host:8786``; or a client that is already connected.
    listeners : iterable of callables
        Told of every event (`bkgflow.campaign.events`) as it happens.
    **options
        Settings of the cluster: ``workers`` (int), the processes of a local cluster, or threads;
        ``memory`` ("4GiB"), the limit of each process of a local cluster.

    Returns
    -------
    RunResult
        The end of every unit; `show` prints it as a table.

    Raises
    ------
    UsageError
        If this is no plan, there is no such cluster, or a task is too large for its workers.
    OutputError
        If the log or the result cannot be written.
    """
    if not isinstance(plan, Plan):
        raise _no_plan("A run takes a plan", plan)
    return Campaign(plan, choose(cluster, **options)).run(listeners)


def show(thing: Plan | RunResult) -> None:
    """Print a plan, or how a run went, as a table.

    Raises
    ------
    UsageError
        If it is neither.
    """
    match thing:
        case Plan():
            print_table(plan_table(thing))
        case RunResult():
            print_table(run_table(thing.plan, thing.verdicts, thing.seconds))
        case _:
            raise _no_plan("A plan, or the result of a run, can be shown", thing)


def _no_plan(rule: str, thing: object) -> UsageError:
    return UsageError(
        rule,
        value=repr(thing)[:200],
        cure="Make one with bkgflow.plan(program, output), or read one with Plan.load",
    )


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
    return draw_product(target, product, picture)


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
        log.info("%s: %s", association.path, note)
    for kind, member in product.others:
        if kind == "sourcecat":
            continue
        log.info("%s: %s member %s is left alone", association.path, kind, member)
    if product.backgrounds and backgrounds:
        log.warning("%s: its own background members are used, not bkg_list", association.path)
    catalogs = tuple(path for kind, path in product.others if kind == "sourcecat")
    return product.science, list(product.backgrounds) or backgrounds, catalogs
