"""Trials watched from outside: what they did that they must not do."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import associations, files
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.trial import damage

SECONDS = 60.0
"""That a case may take; most take a twentieth of one."""

MEMORY = 2 << 30
"""Bytes that a process may ever hold."""


class Trial:
    """A process that tries cases; a new one where it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **case: object) -> dict[str, object]:
        """Try a case; ``state`` says "hangs" or "died" where it gave no answer."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps(case) + "\n")
        process.stdin.flush()
        return self._answer(process, SECONDS)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
        )
        self._read(self._process, 300)
        return self._process

    def _answer(self, process: subprocess.Popen[str], seconds: float) -> dict[str, object]:
        line = self._read(process, seconds)
        if line is None or not line:
            self.close()
            return {"state": "hangs" if line is None else f"died ({process.returncode})"}
        answer: dict[str, object] = json.loads(line)
        return answer

    def _read(self, process: subprocess.Popen[str], seconds: float) -> str | None:
        """Read a line; None where none comes in time, empty where none will ever come."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            return process.stdout.readline() if selector.select(seconds) else None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def wrong(answer: dict[str, object]) -> str:
    """What a trial did that no case allows."""
    state = str(answer["state"])
    if int(str(answer.get("memory", 0))) > MEMORY:
        return f"held {answer['memory']} bytes"
    if not set(state.split()) <= {"refused", "COMPLETE", "SKIPPED", "FAILED", "QUARANTINED"}:
        return f"{state}: {answer.get('error', '')} {answer.get('trace', '')}"
    return ""


def file_findings(count: int, seed: int) -> Iterator[str]:
    """Yield what is wrong with how damaged files were taken, as targets and as backgrounds."""
    trial = Trial()
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good_rate.fits"
        good.write_bytes(files.sound("as it was"))
        for i, (name, raw) in enumerate(files.cases(count, seed)):
            path = Path(folder) / name
            path.write_bytes(raw)
            target, background = (path, good) if i % 2 else (good, path)
            answer = trial.ask(kind="file", target=str(target), backgrounds=[str(background)])
            found = wrong(answer)
            if not found and answer["state"] == "COMPLETE" and (seen := damage(path)):
                found = f"COMPLETE, and astropy says {seen}"
            if found:
                yield f"{name}: {found} ({kept(path, seed)})"
            path.unlink()
    trial.close()


def kept(path: Path, seed: int) -> Path:
    """Keep a file that was found wanting: it depends on the time when it was made."""
    to = Path(tempfile.gettempdir()) / f"bkgflow-fuzz-{seed}-{path.name}"
    shutil.copyfile(path, to)
    return to


def hostile_findings() -> Iterator[str]:
    """Yield what is wrong with how hostile files were taken."""
    trial = Trial()
    for name, make in HOSTILE.items():
        for role in ("target", "background"):
            with tempfile.TemporaryDirectory() as folder:
                good = Path(folder) / "good_rate.fits"
                good.write_bytes(files.sound("as it was"))
                path = make(Path(folder))
                target, background = (path, good) if role == "target" else (good, path)
                answer = trial.ask(kind="file", target=str(target), backgrounds=[str(background)])
                if found := wrong(answer):
                    yield f"{name} as {role}: {found}"
                if (Path(folder) / "was_run").exists():
                    yield f"{name} as {role}: code of the file was run"
    trial.close()


def association_findings(count: int, seed: int) -> Iterator[str]:
    """Yield what is wrong with how damaged associations were taken."""
    trial = Trial()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("t", "b", "c"):
            (Path(folder) / f"{name}_rate.fits").write_bytes(files.sound("as it was"))
        for name, raw in associations.cases(count, seed):
            path = Path(folder) / name
            path.write_bytes(raw)
            answer = trial.ask(kind="association", path=str(path))
            if found := wrong(answer):
                yield f"{name}: {found}\n    {raw[:500]!r}"
            path.unlink()
    trial.close()
