"""The scripts of the image, without an image."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.helpers.sources import ROOT

IMAGE = ROOT / "deploy" / "image"
NEW, OLD = "flags : fpu movbe f16c avx fma avx2 bmi2\n", "flags : fpu movbe f16c avx\n"


def run(*words, cwd=ROOT, **environment):
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "name", "kept"),
    [(NEW, "x86-64-v3", True), (OLD, "x86-64-v3", False), (OLD, "generic", True)],
)
def test_an_older_processor_gets_kernels_of_its_own(flags, name, kept, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}")
    given = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    done = run(IMAGE / "start.sh", "env", BKGFLOW_CPUINFO=str(tmp_path / "cpuinfo"), **given)
    assert done.returncode == 0
    assert (f"NUMBA_CPU_NAME={name}\n" in done.stdout) is kept
    assert ("NUMBA_CPU_FEATURES=" in done.stdout) is kept
    assert ("This processor has no avx2" in done.stderr) is not kept


def test_what_is_started_ends_as_it_ends():
    assert run(IMAGE / "start.sh", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.slow
def test_requirements_are_those_of_the_project():
    lines = run(sys.executable, IMAGE / "requirements.py", "plot", "s3").stdout.splitlines()
    names = {line.split(">")[0].split("[")[0] for line in lines}
    assert {"numba", "dask", "distributed", "matplotlib", "s3fs"} <= names
    assert "pytest" not in names
    wrong = run(sys.executable, IMAGE / "requirements.py", "plots")
    assert wrong.returncode == 1 and "plots" in wrong.stderr


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_health_is_asked_for_or_tried(tmp_path):
    check = (sys.executable, IMAGE / "healthcheck.py")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        proxy = {"http_proxy": "http://127.0.0.1:9"}
        assert run(*check, BKGFLOW_HEALTH=f"{url}/health", **proxy).returncode == 0
        ill = run(*check, BKGFLOW_HEALTH=f"{url}/else")
        assert ill.returncode == 1 and "503" in ill.stderr
    finally:
        server.shutdown()
        server.server_close()
    gone = run(*check, BKGFLOW_HEALTH=f"{url}/health")
    assert gone.returncode == 1 and "Traceback" not in gone.stderr
    assert run(*check, TMPDIR=str(tmp_path)).returncode == 0
