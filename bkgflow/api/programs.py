"""Whole programs: planned, and run as campaigns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Unpack

from bkgflow.arguments import StepArguments, shows_step_arguments
from bkgflow.campaign.causes import CAUSES
from bkgflow.campaign.events import Listener
from bkgflow.campaign.progress import notebook_cell, progress_in, said_in
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.resume import Choices, Resume
from bkgflow.campaign.runner import run_campaign
from bkgflow.campaign.session import preview
from bkgflow.campaign.single import compile_for
from bkgflow.campaign.watchers import watchers
from bkgflow.clusters.choose import ClusterArguments, choose, shows_cluster_arguments
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.errors import UsageError
from bkgflow.io.exposures.kept import KeptFacts
from bkgflow.io.storage.checksum import with_checksums
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.parameters import merged, planner_of
from bkgflow.planning.dither_rule import rule_of
from bkgflow.planning.outputs import Outputs
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.planning.program import make_plan
from bkgflow.programs.search_path import SearchPath

if TYPE_CHECKING:
    pass

from bkgflow.api.shown import MAKE_A_PLAN

__all__ = ["choices", "plan", "run"]


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
    checksum: bool = False,
    format: str | None = None,
    store: PathLike | None = None,
    backgrounds: str | None = None,
    min_offset: float | None = None,
    within: object = None,
    at_least: int | None = None,
    narrower: str | Sequence[str] | None = None,
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
    checksum : bool
        Know every input by its bytes, which are all read: one that was only written again counts
        as unchanged.
    format : "fits" or "zarr", optional
        What the products are stored as; FITS, or zarr where there is a store (docs/zarr.md).
    store : path or URL, optional
        A zarr store that all products lie in, a group each; without it each is a folder of its
        own in the output folder. ``icechunk://FOLDER/NAME.icechunk`` makes each product one commit.
    backgrounds : "dithers", optional
        Have the exposures that were taken alike be each other's background, instead of what their
        associations name; a folder need not have associations then (docs/dithers.md).
    min_offset : float, optional
        Of dithers: arcsec that two must be apart to be each other's background; 0 for any.
    within : str, Quantity, TimeDelta, or several, optional
        Of dithers: how far apart in time or on the sky they may be: "6h", "2arcmin".
    at_least : int, optional
        Of dithers: how many an exposure must have as its background, or it is SKIPPED; 2.
    narrower : "observation", "visit", optional
        Of dithers: what must be the same beside all that must agree, and the program.
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
    dithers = rule_of(
        backgrounds, min_offset=min_offset, within=within, at_least=at_least, narrower=narrower
    )
    search = SearchPath.of(data, confine)
    outputs = Outputs.of(format, store)
    planner = planner_of(arguments, references, memory, search, outputs)
    planner.kept = KeptFacts.read(Location.of(output))
    with with_checksums(wanted=checksum):
        listed = named if bkg_list is None else bkg_list
        return make_plan(program, output, planner, listed, dithers)


@shows_cluster_arguments
def run(
    plan: Plan,
    cluster: object = "local",
    *,
    listeners: Iterable[Listener] = (),
    check_space: bool = True,
    progress: bool = True,
    fresh: bool = False,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    rerun_on: Sequence[str] = CAUSES,
    ledger: PathLike = "",
    labels: Mapping[str, str] | None = None,
    notify: str | Sequence[str] | None = None,
    metrics: int | str | None = None,
    max_retries: int = 3,
    timeout: float | None = None,
    fail_fast: bool = False,
    asked: Mapping[str, object] | None = None,
    **options: Unpack[ClusterArguments],
) -> RunResult:
    """Compute what is left of a plan; write its products, log, result and ledger beside them.

    What is complete in the output folder, by its ledger, and still valid is not done again:
    the same call after an interruption goes on.

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
        Told of every event (`bkgflow.campaign.events`), each in a thread of its own. After the
        run one has 5 s, or its own ``patience``, to hear the rest.
    check_space : bool
        Whether the disk must have room for all products before the first one is made.
    progress : bool
        Whether a notebook's cell shows how the run goes on; elsewhere nothing does.
    fresh : bool
        Do everything anew; older products stay until the new ones are whole.
    only : sequence of str
        Patterns such as ``jw0128*``: of the units whose target, product or association has such
        a name. The others stay as they are.
    retry_failed : bool
        Also do again what went wrong before although nothing has changed.
    rerun_on : sequence of str
        The changes because of which a unit is done again: "inputs", "references", "settings",
        "version" (of the method). All, unless said otherwise.
    ledger : path or URL, optional
        Where the campaign's ledger is, if not in the output folder: a file, or
        ``postgresql://USER@HOST/DATABASE``.
    labels : mapping, optional
        Words by which people find the campaign: ``{"operator": "ada"}``.
    notify : str or sequence of str, optional
        Who is told of the first unit that goes wrong, and of the end, in JSON
        (`bkgflow.campaign.notify`): a URL of http or https, by POST; or a command, on its standard
        input, with a summary in a line as its last argument. One that fails or hangs is a line in
        the log.
    metrics : int or str, optional
        ``PORT`` or ``HOST:PORT`` where metrics are served for Prometheus while the run lasts;
        without a host, to this machine alone. Needs ``prometheus_client``.
    max_retries : int
        How often a unit is tried again that fails for no fault of its inputs: its worker died, it
        found no memory, a disk failed for a while, it took too long.
    timeout : float, optional
        Seconds that a unit may take on its worker; without it, as long as it likes. Threads of
        this process keep none.
    fail_fast : bool
        Whether the run ends with the first unit that is not good; the others are BLOCKED.
    asked : mapping, optional
        For the ledger: the command that makes such a run again, as the command line gives it.
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
        bkgflow, the inputs and the output folder that they see), or a task is too large for them;
        if nobody can be notified so, or no metrics be served there.
    RunError
        If no worker comes.
    OutputError
        If another run holds the output folder, the products do not fit on its disk, or the log
        cannot be written there; or the ledger cannot be used (`LedgerError`).
    KeyboardInterrupt
        After Ctrl-C, when what was done is kept and said in ``bkgflow-run.json``; a second one
        comes at once. SIGTERM and SIGHUP end a script likewise (SystemExit).
    """
    _check_plan(plan)
    where = choose(cluster, **options)
    resume = Resume(fresh, tuple(only), retry_failed, tuple(rerun_on))
    begin = partial(
        run_campaign,
        room=check_space,
        resume=resume,
        ledger=os.fspath(ledger),
        labels=labels,
        policy=RetryPolicy(max_retries, timeout=timeout, fail_fast=fail_fast),
        asked=asked,
    )
    with watchers(plan, notify, metrics, labels) as others:
        told = [*listeners, *others]
        cell = notebook_cell() if progress else None
        if cell is not None:
            if where.here:
                # Before the run, which would do it without a word in the cell.
                compile_for(plan, said_in(cell))
            told.append(progress_in(cell, plan))
        return begin(plan, where, told)


def choices(
    plan: Plan,
    *,
    fresh: bool = False,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    rerun_on: Sequence[str] = CAUSES,
    ledger: PathLike = "",
    labels: Mapping[str, str] | None = None,
) -> Choices:
    """Decide what `run` would do of a plan, and why; nothing is computed or written.

    Parameters
    ----------
    plan : Plan
        From `plan`, or `Plan.load`.
    fresh, only, retry_failed, rerun_on, ledger, labels
        As for `run`.

    Returns
    -------
    Choices
        ``units`` has a `Choice` for each unit with ``do`` (bool), ``cause`` and ``words``;
        ``summary()`` is a line.

    Raises
    ------
    LedgerError
        If there is a ledger that cannot be read.
    """
    _check_plan(plan)
    resume = Resume(fresh, tuple(only), retry_failed, tuple(rerun_on))
    return preview(plan, resume, os.fspath(ledger))


def _check_plan(thing: object) -> None:
    if not isinstance(thing, Plan):
        raise UsageError("A run must be given a plan", value=repr(thing)[:200], cure=MAKE_A_PLAN)
