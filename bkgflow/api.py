"""The one facade: what a notebook, a script or the command line calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bkgflow.arguments import StepArguments, shows_step_arguments
from bkgflow.campaign.events import Listener
from bkgflow.campaign.progress import notebook_cell, progress_in, said_in
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.runner import compile_for, run_campaign, run_single
from bkgflow.clusters.choose import ClusterArguments, choose, shows_cluster_arguments
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.errors import UsageError
from bkgflow.io.models import is_model
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import check_writable
from bkgflow.parameters import merged, planner_of, single
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.planning.program import make_plan
from bkgflow.planning.single import plan_single
from bkgflow.programs.passed_over import summed_up
from bkgflow.programs.search_path import SearchPath
from bkgflow.report.tables import print_table, width_here
from bkgflow.report.unit_tables import plan_table, run_table

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel as Model

__all__ = [
    "draw",
    "plan",
    "run",
    "show",
    "subtract",
    "subtract_to_file",
]


@shows_step_arguments
def subtract(
    target: object,
    bkg_list: object = None,
    *,
    imprints: object = None,
    output_dir: PathLike | None = None,
    references: PathLike | None = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    settings: PathLike | None = None,
    **step_arguments: Unpack[StepArguments],
) -> Model:
    """Subtract the combined background from one exposure.

    Parameters
    ----------
    target : path, data model or association
        The exposure; or an association of one product, a file or a mapping: its background
        members are used, and ``bkg_list`` only if it has none.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures; patterns, ``~`` and ``@FILE`` (a file of lines) as well.
    imprints : sequence of paths or data models, or a comma-separated string
        Imprint (leakage) exposures of NIRSpec IFU and MSA, subtracted from target and
        backgrounds before anything else. A single one is for all; of several, each exposure
        gets the one of its observation and dither position. Those of an association go first.
    output_dir : path, optional
        Where ``save_combined_background`` writes; the current folder by default.
    references : path, optional
        A folder of reference files for slitless and SOSS exposures, matched by their keywords;
        CRDS is asked without one.
    data, confine
        As for `plan`.
    settings : path, optional
        A parameter file of the step (ASDF or .cfg), as strun takes them; arguments that are given
        here go before what it says.
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
    search = SearchPath.of(data, confine)
    planner, bkg_list = single(step_arguments, references, settings, bkg_list, search, writes=False)
    decided = plan_single(target, bkg_list, output_dir or ".", planner, imprints)
    if decided.units[0].companions:
        check_writable(decided.output)
    if (cell := notebook_cell()) is not None:
        compile_for(decided, said_in(cell))
    writer = ModelWriter(target if is_model(target) else None)
    run_single(decided, writer)
    return writer.result


@shows_step_arguments
def subtract_to_file(
    target: PathLike,
    bkg_list: object = None,
    output_dir: PathLike = ".",
    references: PathLike | None = None,
    imprints: object = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    settings: PathLike | None = None,
    **step_arguments: Unpack[StepArguments],
) -> Path:
    """Do `subtract` and write the product, named as the pipeline names it; return its path.

    Raises
    ------
    BkgflowError
        As `subtract`; and if the product cannot be written, or would replace an input.
    """
    search = SearchPath.of(data, confine)
    planner, bkg_list = single(step_arguments, references, settings, bkg_list, search, writes=True)
    check_writable(Location.of(output_dir))
    decided = plan_single(target, bkg_list, output_dir, planner, imprints)
    run_single(decided)
    return Path(output_dir) / decided.units[0].output


@shows_step_arguments
def plan(
    program: object,
    output: PathLike,
    *,
    bkg_list: object = None,
    memory: int = DEFAULT_MEMORY,
    references: PathLike | None = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    settings: PathLike | None = None,
    **step_arguments: Unpack[StepArguments],
) -> Plan:
    """Look at a program once and decide everything that a run will do.

    Parameters
    ----------
    program : path, mapping, or several
        An association, a file or a mapping; a folder, with all below it; exposures, with
        ``bkg_list``; patterns, ``~`` and ``@FILE`` (a file of lines); or a list of these.
    output : path
        Folder of the products; a run makes it if it is not there.
    bkg_list : sequence of paths, or a comma-separated string
        Backgrounds of exposures that are given without an association, and of products that have
        none of their own.
    memory : int
        Bytes of pixels that one combine task may hold at a time.
    references, settings : path, optional
        As for `subtract`.
    data : path or paths
        Folders where the members of associations are looked for, with all below them, where they
        do not lie beside their association.
    confine : path, optional
        Refuse every exposure and catalog that does not lie in this folder, with links resolved.
    **step_arguments
        As for `subtract`.

    Returns
    -------
    Plan
        Frozen; prints as a summary, `show` shows it as a table; ``save`` keeps it as JSON.

    Raises
    ------
    UsageError, OutputError
        If nothing can be planned. A unit with a bad input does not raise: it is QUARANTINED
        in the plan, with its error.
    """
    arguments = merged(step_arguments, settings)
    named = arguments.pop("bkg_list", None)
    search = SearchPath.of(data, confine)
    planner = planner_of(arguments, references, memory, search)
    return make_plan(program, output, planner, named if bkg_list is None else bkg_list)


@shows_cluster_arguments
def run(
    plan: Plan,
    cluster: object = "local",
    *,
    listeners: Iterable[Listener] = (),
    check_space: bool = True,
    progress: bool = True,
    max_retries: int = 3,
    timeout: float | None = None,
    fail_fast: bool = False,
    **options: Unpack[ClusterArguments],
) -> RunResult:
    """Compute a plan and write its products, ``bkgflow.log`` and ``bkgflow-run.json``.

    Parameters
    ----------
    plan : Plan
        From `plan`, or `Plan.load`.
    cluster : "local", "threads", an address, Client, cluster object, or a `bkgflow.clusters` one
        Worker processes on this machine, or threads where there are few small units and neither
        workers nor memory are asked for; threads of this process; the scheduler at an address
        such as ``tcp://host:8786``; a client that is already connected; or anything with a
        ``scheduler_address``, such as a `distributed.LocalCluster` or a ``SLURMCluster``.
    listeners : iterable of callables
        Told of every event (`bkgflow.campaign.events`) as it happens.
    check_space : bool
        Whether the disk must have room for all products before the first one is made.
    progress : bool
        Whether a notebook's cell shows how the run goes on; elsewhere nothing does.
    max_retries : int
        How often a unit is tried again that fails for no fault of its inputs: its worker died, it
        found no memory, a disk failed for a while, it took too long.
    timeout : float, optional
        Seconds that a unit may take on its worker; without it, as long as it likes. Threads of
        this process keep none.
    fail_fast : bool
        Whether the run ends with the first unit that is not good; the others are BLOCKED.
    **options
        Settings of the cluster: ``workers`` (int), the processes of a local cluster, or threads;
        ``memory`` ("4GiB"), the limit of each process of a local cluster; ``wait`` (seconds), for
        the first worker of a cluster that is there already, or for its scheduler.

    Returns
    -------
    RunResult
        The end of every unit; `show` prints it as a table.

    Raises
    ------
    UsageError
        If this is no plan, there is no such cluster, its workers are not like this process (their
        bkgflow, the inputs and the output folder that they see), or a task is too large for them.
    RunError
        If no worker comes.
    OutputError
        If another run holds the output folder, the products do not fit on its disk, or the log
        cannot be written there.
    KeyboardInterrupt
        After Ctrl-C, when what was done is kept and said in ``bkgflow-run.json``; a second one
        comes at once. SIGTERM and SIGHUP end a script likewise (SystemExit).
    """
    if not isinstance(plan, Plan):
        raise _no_plan("A run must be given a plan", plan)
    where = choose(cluster, **options)
    policy = RetryPolicy(max_retries, timeout=timeout, fail_fast=fail_fast)
    cell = notebook_cell() if progress else None
    if cell is None:
        return run_campaign(plan, where, listeners, room=check_space, policy=policy)
    if where.here:
        # Before the run, which would do it without a word in the cell.
        compile_for(plan, said_in(cell))
    told = [*listeners, progress_in(cell, plan)]
    return run_campaign(plan, where, told, room=check_space, policy=policy)


def show(thing: Plan | RunResult) -> None:
    """Print a plan, or how a run went, as a table.

    Raises
    ------
    UsageError
        If it is neither.
    """
    match thing:
        case Plan():
            print_table(plan_table(thing, width_here()), summed_up(thing.passed_over))
        case RunResult():
            table = run_table(thing.plan, thing.verdicts, thing.seconds, width_here())
            print_table(table, summed_up(thing.plan.passed_over))
        case _:
            raise _no_plan("What is shown must be a plan, or the result of a run", thing)


def _no_plan(rule: str, thing: object) -> UsageError:
    return UsageError(
        rule,
        value=repr(thing)[:200],
        cure="Make one with bkgflow.plan(program, output), or read one with Plan.load",
    )


def draw(target: PathLike, product: PathLike, picture: PathLike) -> Path:
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
    from bkgflow.report.drawing import draw_product

    return draw_product(target, product, picture)
