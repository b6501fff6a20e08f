"""Workers are asked before they are trusted: for bkgflow, the inputs, the output folder.

All of them at once, over the connections that every cluster has; tasks would wait in the queues
of others, and would have to be unpickled first.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

from distributed import Client
from distributed.protocol.pickle import dumps

from bkgflow.clusters import introduce as introduction
from bkgflow.clusters.crew import Crew, Limits, Workers, start_again
from bkgflow.clusters.on_worker import Visit, admit, clear, visit
from bkgflow.clusters.refusals import lacking, together, unanswered, unseen, unusable
from bkgflow.clusters.skew import OF_SCHEDULERS, OF_WORKERS, PACKAGES, differences, skew
from bkgflow.clusters.trial import Trial
from bkgflow.errors import BkgflowError, UsageError
from bkgflow.io.storage.trial import TOKEN, drop_token, leave_token, read_token, trial_folder
from bkgflow.version import VERSION

__all__ = ["Answers", "ask", "ask_scheduler", "examine"]

MODULES = ["bkgflow.graph.finish", "bkgflow.kinds.table", "bkgflow.clusters.on_worker"]
"""What a task imports."""

ANSWER = 60
"""Seconds that a worker may take to answer: it may have to import from a slow disk."""

CALL = "exec(source, space) or space['introduce'](*question)"
"""Calls a function that the other side does not have."""

PAUSES = (1.0, 3.0)
"""Seconds before an output folder is looked at again: networks show a new file after a while."""


Answers = dict[str, BkgflowError | None]
"""By the address of a worker: what is wrong with it, or None. Who did not answer has a
`RunError`, all others a `UsageError`."""


async def ask(
    client: Client,
    trial: Trial,
    workers: Workers,
    say: Callable[[str], object],
    limits: Limits,
) -> Answers:
    """Ask workers, and admit those that see what the driver sees; called in the client's loop.

    Parameters
    ----------
    workers : mapping
        What the scheduler says of each, by its address.
    say : callable
        Given a sentence on each package of which a worker has another version.
    """
    token = f"{TOKEN}{uuid4().hex}"
    leave_token(trial.output, token, token)
    asked = {each: asyncio.ensure_future(_ask_one(client, trial, token, each)) for each in workers}
    try:
        for each in asked.values():
            # The run may end meanwhile: what comes of a question then is for nobody.
            each.add_done_callback(_heard)
        answers = await _answers(client, asked, limits)
    finally:
        for each in asked.values():
            each.cancel()
        drop_token(trial.output, token)
    found: Answers = {}
    others = defaultdict[str, list[str]](list)
    for worker, answer in answers.items():
        if isinstance(answer, BkgflowError):
            found[worker] = answer
        else:
            found[worker] = None
            for word in answer:
                others[word].append(worker)
    for word, those in others.items():
        say(f"{_named(those, workers)} {word}: results may differ")
    return found


def _heard(answer: asyncio.Future[Any]) -> None:
    """Take notice of an answer: asyncio prints the traceback of an error that nobody looks at."""
    if not answer.cancelled():
        answer.exception()


async def _answers(
    client: Client, asked: Mapping[str, asyncio.Future[Any]], limits: Limits
) -> dict[str, BkgflowError | list[str]]:
    """Wait for all answers; who has left the cluster, or says nothing at all, gives none."""
    crew, began = Crew(), time.monotonic()
    while (await asyncio.wait(asked.values(), timeout=limits.interval))[1]:
        with suppress(OSError, TimeoutError):
            said = await asyncio.wait_for(client.scheduler.identity(), ANSWER)
            crew.look(said["workers"], limits.interval)
            for worker, answer in asked.items():
                if worker not in crew.members or time.monotonic() - began > ANSWER:
                    answer.cancel()
        for worker in crew.silent(limits.silent) & {w for w, a in asked.items() if not a.done()}:
            asked[worker].cancel()
            await start_again(client, worker)
    found: dict[str, BkgflowError | list[str]] = {}
    for worker, answer in asked.items():
        try:
            found[worker] = await answer
        except BkgflowError as problem:
            found[worker] = problem
        except (OSError, TimeoutError, asyncio.CancelledError) as problem:
            found[worker] = unanswered(worker, problem)
    return found


async def _ask_one(client: Client, trial: Trial, token: str, worker: str) -> UsageError | list[str]:
    """Return what is wrong with a worker, or the packages of which it has another version."""
    call = partial(_call, client, worker)
    mine = f"{token}-{uuid4().hex[:8]}"
    look = partial(visit, trial.files, trial.output, token, mine)
    wrong: Visit | None = None
    try:
        # All in one question: every other one waits for an answer across the network.
        said, wrong = await call(eval, CALL, _question(trial, look))
        if problem := _unfit("Every worker", worker, said, OF_WORKERS, trial):
            return problem
        if problem := lacking(worker, said, trial.packages):
            return problem
        assert wrong is not None
        for pause in (*PAUSES, None):
            if not wrong.output and read_token(trial.output, mine) != mine:
                wrong = Visit(wrong.files, "what it writes there, the driver does not see")
            if not wrong.output or pause is None:
                break
            await asyncio.sleep(pause)
            wrong = await call(look)
    finally:
        drop_token(trial.output, mine)
        if wrong is not None and wrong.output:
            await call(clear, trial.output, mine)
    if problem := unseen(worker, wrong.files, trial.output, wrong.output):
        return problem
    # Not waited for: a task that is there first waits, and says so.
    admission = asyncio.ensure_future(call(admit, trial.name))
    _admissions.add(admission)
    admission.add_done_callback(_admissions.discard)
    admission.add_done_callback(_heard)
    return list(differences(said))


_admissions: set[asyncio.Future[object]] = set()
"""On their way: asyncio itself holds no task."""


async def _call(client: Client, worker: str, function: Callable[..., Any], *words: object) -> Any:
    """Call a function on a worker, beside its tasks.

    In a thread: an import may take long, and whose event loop waits for it seems to be dead.
    """
    answers = await client.run(
        asyncio.to_thread, function, *words, workers=[worker], on_error="return"
    )
    answer = answers[worker]
    if isinstance(answer, Exception):
        raise unanswered(worker, answer)
    return answer


def _unfit(
    who: str, address: str, said: Mapping[str, str], alike: Collection[str], trial: Trial
) -> UsageError | None:
    """Return what is wrong with the packages that somebody has, if anything is."""
    if not trial.allow_skew and (problem := skew(who, address, said, alike)):
        return problem
    return unusable(who, address, said)


async def ask_scheduler(client: Client, trial: Trial) -> UsageError | None:
    """Return what is wrong with the scheduler, which unpickles the graph."""
    try:
        said, _ = await client.run_on_scheduler(asyncio.to_thread, eval, CALL, _question(trial))
    except (ValueError, OSError):  # it is not to run anything; or its loss is noticed elsewhere
        return None
    return _unfit("The scheduler", client.scheduler.address, said, OF_SCHEDULERS, trial)


def _question(trial: Trial, errand: Callable[[], object] | None = None) -> dict[str, object]:
    """Return the names that `CALL` needs."""
    packages, then = [*PACKAGES, *trial.packages], b"" if errand is None else dumps(errand)
    question = ("" if trial.allow_skew else VERSION, packages, MODULES, then)
    return {"source": inspect.getsource(introduction), "space": {}, "question": question}


def _named(workers: Collection[str], known: Mapping[str, object]) -> str:
    """Name workers in few words."""
    first = min(workers)
    if len(workers) == 1:
        return f"worker {first} has"
    return f"{len(workers)} of {len(known)} workers ({first} …) have"


# The start of a run: all workers that are there.


def examine(
    client: Client,
    trial: Trial,
    waiting: Callable[[], object],
    say: Callable[[str], object],
    limits: Limits,
) -> tuple[Trial, set[str]]:
    """Ask all workers until one is good; return the trial that they passed, and who has.

    Parameters
    ----------
    waiting : callable
        Returns when there are workers; raises where none come.

    Raises
    ------
    UsageError
        If the scheduler or a worker cannot be used, and why.
    RunError
        If no worker answers.
    OutputError
        If nothing can be written to the output folder.
    """
    deadline = time.monotonic() + limits.nobody
    with trial_folder(trial.output):
        while True:
            waiting()
            workers = client.scheduler_info(n_workers=-1)["workers"]
            scheduler, answers = client.sync(_ask_all, client, trial, workers, say, limits)
            if scheduler is not None:
                raise scheduler
            if wrong := [each for each in answers.values() if isinstance(each, UsageError)]:
                raise together(wrong)
            good = {worker for worker, problem in answers.items() if problem is None}
            silent = [problem for problem in answers.values() if problem is not None]
            for each in silent if good else []:
                say(f"a worker is left out for now: {each.message}")
            if good:
                return trial, good
            if silent and time.monotonic() > deadline:
                raise silent[0]


async def _ask_all(client: Client, trial: Trial, *others: Any) -> tuple[UsageError | None, Answers]:
    """Ask the scheduler and workers side by side: each may have to import bkgflow first."""
    scheduler, answers = await asyncio.gather(
        ask_scheduler(client, trial), ask(client, trial, *others)
    )
    return scheduler, answers
