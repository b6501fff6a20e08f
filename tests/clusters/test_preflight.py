"""Questions to workers that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
import re
from contextlib import suppress
from types import SimpleNamespace

import pytest

import bkgflow
from bkgflow.clusters import preflight
from bkgflow.clusters.crew import Limits
from bkgflow.clusters.on_worker import wait_for_admission
from bkgflow.clusters.preflight import ask
from bkgflow.clusters.refusals import lacking
from bkgflow.clusters.trial import Trial
from bkgflow.io.storage.location import Location
from tests.helpers.crowded import write_field

pytestmark = pytest.mark.slow

WORKER = "tcp://x:1"


class Broken:
    """A client whose connection breaks while a worker is asked."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.scheduler = SimpleNamespace(identity=self.identity)

    async def identity(self):
        return {"workers": {WORKER: {"last_seen": 1.0, "status": "running"}}}

    async def run(self, *_, **__):
        self.asked.set()
        try:
            await asyncio.sleep(10)
        finally:
            raise OSError("the stream is closed")


def test_a_run_that_ends_while_a_worker_is_asked_leaves_no_error_behind(tmp_path):
    said = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context["message"]))
        trial, client = Trial("t", {}, Location.of(tmp_path)), Broken()
        asking = asyncio.ensure_future(ask(client, trial, {WORKER: {}}, said.append, Limits()))
        await client.asked.wait()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.1)
        gc.collect()  # only then asyncio finds that nobody has looked
        await asyncio.sleep(0)

    asyncio.run(main())
    assert said == []
    assert list(tmp_path.iterdir()) == []


class Here:
    """A client with one worker, which is this process; its first answers may see no token."""

    def __init__(self, late=0):
        self.late, self.questions = late, []
        self.scheduler = SimpleNamespace(identity=Broken.identity.__get__(self))

    async def run(self, _, function, *words, **__):
        self.questions.append(getattr(function, "__name__", "visit"))
        answer = await asyncio.to_thread(function, *words)
        if self.late > 0 and self.questions[-1] in ("eval", "visit"):
            self.late -= 1
            said, wrong = answer if function is eval else (None, answer)
            wrong = wrong._replace(output="it does not see what the driver writes there")
            answer = (said, wrong) if function is eval else wrong
        return {WORKER: answer}


def asked(client, folder, monkeypatch):
    monkeypatch.setattr(preflight, "PAUSES", (0.0, 0.0))

    async def main():
        trial = Trial(folder.name, {}, Location.of(folder))
        found = await ask(client, trial, {WORKER: {}}, print, Limits())
        while client.questions[-1] not in ("admit", "clear"):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        return found

    found = asyncio.run(main())
    assert list(folder.iterdir()) == []
    return found[WORKER]


def test_a_worker_is_asked_once_and_then_admitted(tmp_path, monkeypatch):
    client = Here()
    assert asked(client, tmp_path, monkeypatch) is None
    assert client.questions == ["eval", "admit"]
    wait_for_admission("a topic", tmp_path.name)  # which returns at once


def test_a_folder_that_is_seen_late_is_looked_at_again(tmp_path, monkeypatch):
    client = Here(late=2)
    assert asked(client, tmp_path, monkeypatch) is None
    assert client.questions == ["eval", "visit", "visit", "admit"]


def test_a_folder_that_is_never_seen_is_refused(tmp_path, monkeypatch):
    client = Here(late=9)
    assert "does not see" in str(asked(client, tmp_path, monkeypatch))
    assert client.questions == ["eval", "visit", "visit", "clear"]
    with pytest.raises(ValueError, match="worker"):  # whom it would wait in
        wait_for_admission("a topic", tmp_path.name)


def test_a_worker_that_lacks_a_package_is_told_which_extra_brings_it():
    packages = {"photutils": "bkgflow[sources]"}
    assert lacking(WORKER, {"photutils": "3.0.0"}, packages) is None
    problem = lacking(WORKER, {"photutils": "none"}, packages)
    assert re.search(r"photutils.*tcp://x:1.*bkgflow\[sources\]", str(problem))


def test_workers_are_asked_for_what_the_plan_needs(tmp_path):
    write_field(tmp_path / "field", 3)
    said = []
    for given in ({}, {"mask_sources": "detect"}):
        plan = bkgflow.plan(tmp_path / "field", tmp_path / "out", **given)
        said.append(Trial.of(plan).packages)
    assert said == [{}, {"photutils": "bkgflow[sources]"}]
