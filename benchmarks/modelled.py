"""Modelled workers: many in one process, which speak a scheduler's protocol and compute nothing.

    python -m benchmarks.modelled tcp://127.0.0.1:8786 100 0.5 0.1

starts a hundred workers of one thread, whose units take 0.5 s and whose parts of shared results
take 0.1 s. Each has an address of its own, says what a worker says (that a task begins, that it
has left its thread, that it has ended, that it holds a copy, that it is alive), and gives its
results to whoever fetches them.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import pickle
import resource
import sys
import time
from functools import partial
from typing import TypedDict, cast

from distributed import Status
from distributed.batched import BatchedSend
from distributed.comm import Comm, CommClosedError, connect, listen
from distributed.core import ConnectionPool
from distributed.protocol import to_serialize
from distributed.versions import get_versions

from bkgflow.clusters.jobs import Job
from bkgflow.clusters.measured import Began, Ended, Measured
from bkgflow.clusters.on_worker import MOST_BESIDE
from bkgflow.io.storage.owner import Owner
from bkgflow.kinds.base import Assignment
from bkgflow.verdict import State, Verdict

__all__ = ["ModelledWorker", "Spec", "Times", "main"]

FRAME = 2048 * 2048
BYTES = 20 * FRAME
"""Of a modelled product."""

PART = 14 * FRAME // 4
"""Bytes of a part of a shared result."""

BESIDE = 0.2
"""The share of a unit's time in which it only waits for the disk, beside its thread."""

PROCESS = "process 1 of a modelled host"


class Spec(TypedDict):
    """A task that a worker was given."""

    key: object
    run_id: int
    who_has: dict[object, tuple[str, ...]]
    nbytes: dict[object, int]
    job: Job


class Times(TypedDict):
    """Seconds that a unit's last task takes, and a part of a shared result."""

    unit: float
    part: float


class ModelledWorker:
    """A worker of one thread: what it is given takes its time, and nothing else."""

    def __init__(self, scheduler: str, number: int, times: Times, pool: ConnectionPool) -> None:
        self.scheduler, self.number, self.times, self.pool = scheduler, number, times, pool
        self.address = ""
        self.stream = BatchedSend(interval="2ms")
        self.beside = asyncio.Semaphore(MOST_BESIDE)
        self.held: dict[object, object] = {}
        self.specs: dict[object, Spec] = {}
        self.queue: list[tuple[tuple[int, ...], int, object]] = []
        self.wake = asyncio.Event()
        self.given = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, register, and work from now on."""
        self.listener = listen("tcp://127.0.0.1:0", self.answer)
        await self.listener.start()
        self.address = self.listener.contact_address
        comm = await connect(self.scheduler, timeout=60)
        await comm.write(self.introduction())
        said = await comm.read()
        if said["status"] != "OK":
            raise RuntimeError(f"the scheduler refuses a worker: {said}")
        self.stream.start(comm)
        self.spawn(self.hear(comm))
        self.spawn(self.work())
        self.spawn(self.beat(said["heartbeat-interval"]))

    def introduction(self) -> dict[str, object]:
        """Return what a worker says first."""
        return {
            "op": "register-worker",
            "reply": False,
            "address": self.address,
            "status": Status.running.name,
            "nthreads": 1,
            "name": f"modelled-{self.number}",
            "now": time.time(),
            "resources": {},
            "memory_limit": 4 << 30,
            "local_directory": "/nowhere",
            "services": {},
            "nanny": None,
            "pid": os.getpid(),
            "versions": VERSIONS,
            "metrics": self.metrics(),
            "extra": {},
            "stimulus_id": f"worker-connect-{time.time()}",
            "server_id": f"Worker-{self.number}",
        }

    def metrics(self) -> dict[str, object]:
        """Return what a worker says of itself every few seconds."""
        counts = {"executing": 1, "ready": len(self.queue), "memory": len(self.held)}
        transfer = ("incoming_bytes", "incoming_count", "incoming_count_total", "outgoing_bytes",
                    "outgoing_count", "outgoing_count_total")  # fmt: skip
        digests = {
            ("execute", "subtract", kind, "seconds"): 1.0 for kind in ("thread-cpu", "other")
        }
        return {
            "task_counts": counts,
            "bandwidth": {"total": 1e8, "workers": {}, "types": {}},
            "digests_total_since_heartbeat": digests,
            "managed_bytes": 0,
            "spilled_bytes": {"memory": 0, "disk": 0},
            "transfer": dict.fromkeys(transfer, 0),
            "event_loop_interval": 0.02,
            "cpu": 90.0,
            "memory": 400 << 20,
            "time": time.time(),
            "host_net_io": {"read_bps": 1e6, "write_bps": 1e6},
            "host_disk_io": {"read_bps": 1e8, "write_bps": 1e8},
            "num_fds": 40,
        }

    def spawn(self, work: object) -> None:
        """Do something beside the rest, until the connection is closed."""
        task = asyncio.ensure_future(_until_closed(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def say(self, op: str, **words: object) -> None:
        """Tell the scheduler something, within milliseconds."""
        self.stream.send({"op": op, "stimulus_id": f"{op}-{time.time()}", **words})

    # What the scheduler says.

    async def hear(self, comm: Comm) -> None:
        """Do what the scheduler says."""
        while True:
            said = await comm.read()
            for each in said if isinstance(said, list | tuple) else (said,):
                self.obey(each)

    def obey(self, said: dict[str, object]) -> None:
        """Do one thing that the scheduler says."""
        match said["op"]:
            case "compute-task":
                self.take(said)
            case "free-keys":
                for key in cast("list[object]", said["keys"]):
                    self.specs.pop(key, None)
                    self.held.pop(key, None)
            case "remove-replicas":
                for key in cast("list[object]", said["keys"]):
                    self.held.pop(key, None)
                    self.say("release-worker-data", key=key)
            case "steal-request":
                there = self.specs.pop(said["key"], None)
                state = "executing" if there is None else "ready"
                answer = {"key": said["key"], "state": state}
                self.say("steal-response", **answer | {"stimulus_id": said["stimulus_id"]})

    def take(self, said: dict[str, object]) -> None:
        """Put a task in the queue."""
        spec = {name: said[name] for name in ("key", "run_id", "who_has", "nbytes")}
        job = cast("Job", getattr(said["run_spec"], "func"))  # noqa: B009
        self.specs[said["key"]] = cast("Spec", {**spec, "job": job})
        self.given += 1
        priority = cast("tuple[int, ...]", said["priority"])
        heapq.heappush(self.queue, (priority, self.given, said["key"]))
        self.wake.set()

    # What takes time.

    async def work(self) -> None:
        """Do one task after the other, as the thread of a worker."""
        while True:
            while not self.queue:
                self.wake.clear()
                await self.wake.wait()
            _, _, key = heapq.heappop(self.queue)
            if (spec := self.specs.pop(key, None)) is None:  # stolen, or not wanted any more
                continue
            if new := [each for each in spec["who_has"] if each not in self.held]:
                self.held.update(dict.fromkeys(new))
                self.say("add-keys", keys=new)
            await self.do(spec)

    async def do(self, spec: Spec) -> None:
        """Do a task, as long as it has the thread."""
        job, began = spec["job"], time.time()
        words = Began(job.key, self.address, PROCESS, "modelled", began)
        self.stream.send({"op": "log-event", "topic": job.topic, "msg": ("begins", *words)})
        if not job.ends:
            await asyncio.sleep(self.times["part"])
            self.end(spec, None, began, PART)
            return
        await asyncio.sleep(self.times["unit"] * (1 - BESIDE))
        await self.beside.acquire()
        took = time.time() - began
        self.say("long-running", key=spec["key"], run_id=spec["run_id"], compute_duration=took)
        self.spawn(self.publish(spec, began))

    async def publish(self, spec: Spec, began: float) -> None:
        """Wait for a disk that is modelled, then end a unit."""
        await asyncio.sleep(self.times["unit"] * BESIDE)
        self.beside.release()
        work = cast("Assignment", cast("partial[object]", spec["job"].task).args[3])
        verdict = Verdict(State.COMPLETE, record=work.record).published(
            (str(work.output),), (BYTES,), PROCESS, ("xxh3:0123456789abcdef",)
        )
        took = Measured(PROCESS, "modelled", began, time.time() - began, BYTES, BYTES, BYTES, ())
        self.end(spec, Ended(verdict, self.address, False, took), began, 5000)

    def end(self, spec: Spec, result: object, began: float, nbytes: int) -> None:
        """Keep a result, and say that it is there."""
        self.held[spec["key"]] = result
        times = {"action": "compute", "start": began, "stop": time.time()}
        self.say(
            "task-finished", key=spec["key"], run_id=spec["run_id"], nbytes=nbytes, type=TYPE,
            typename="Ended", metadata={}, thread=1, startstops=[times], status="OK",
        )  # fmt: skip

    # What it is asked, and what it says by itself.

    async def answer(self, comm: Comm) -> None:
        """Give results to whoever fetches them."""
        try:
            while True:
                asked = await comm.read()
                if asked.get("op") != "get_data":
                    await comm.write({"status": "error", "message": "a modelled worker"})
                    continue
                found = {key: to_serialize(self.held.get(key)) for key in asked["keys"]}
                await comm.write({"status": "OK", "data": found})
                await comm.read()
        except CommClosedError:
            pass

    async def beat(self, interval: float) -> None:
        """Say again and again that it is alive."""
        scheduler = self.pool(self.scheduler)
        await asyncio.sleep(interval * (self.number % 100) / 100)
        while True:
            answer = await scheduler.heartbeat_worker(
                address=self.address, now=time.time(), metrics=self.metrics(), executing={},
                extensions={},
            )  # fmt: skip
            await asyncio.sleep(answer.get("heartbeat-interval", interval))


TYPE = pickle.dumps(Ended)
VERSIONS = get_versions()


async def _until_closed(work: object) -> None:
    try:
        await cast("asyncio.Future[None]", work)
    except (CommClosedError, asyncio.CancelledError):
        pass
    except OSError as problem:
        print(f"a modelled worker: {problem}", file=sys.stderr)


async def _run(scheduler: str, number: int, times: Times) -> None:
    Owner.me()
    pool = await ConnectionPool(limit=8192)
    workers = [ModelledWorker(scheduler, each, times, pool) for each in range(number)]
    for first in range(0, number, 50):
        await asyncio.gather(*(each.start() for each in workers[first : first + 50]))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started this closes it, or dies


def main(scheduler: str, number: int, unit: float, part: float) -> None:
    """Be so many workers, until standard input is closed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_run(scheduler, number, Times(unit=unit, part=part)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
