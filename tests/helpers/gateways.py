"""A dask-gateway on this machine: its real server, as deploy/ configures it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from tests.helpers.clusters import ROOT, free_port, wait_until

CONFIGURATION = ROOT / "deploy" / "gateway" / "dask_gateway_config.py"
PROFILE = ROOT / "deploy" / "gateway" / "profile.yaml"
PASSWORD = "a-password-of-tests"


class Server:
    """A gateway's server, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.environment = {
            **os.environ,
            # What it starts is known by this folder: nothing else of its environment is passed on.
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder))),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "BKGFLOW_GATEWAY_ADDRESS": f"127.0.0.1:{self.port}",
            "BKGFLOW_GATEWAY_STATE": str(folder),
            "BKGFLOW_GATEWAY_PASSWORD": PASSWORD,
            "DASK_GATEWAY_ENCRYPT_KEYS": b64encode(secrets.token_bytes(32)).decode(),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-c", "from dask_gateway_server.app import main; main()"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(CONFIGURATION)],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.said()
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
            probe.sendall(b"GET /api/health HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(100)

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "server.log").read_text()[-2000:]

    def restart(self) -> None:
        """Kill it without a word, and start it again; what it has started lives on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.start()

    def end(self) -> None:
        """End it with all that it has started."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        for each in psutil.process_iter():
            if str(self.folder) in _environment(each).get("PYTHONPATH", "").split(os.pathsep):
                each.kill()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


@contextmanager
def gateway_server(folder: Path):
    """Run a gateway below a folder."""
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.end()


def profile_here(folder: Path, server: Server, **more) -> Path:
    """Write the profile of deploy/ with what is otherwise here; return its path."""
    settings = yaml.safe_load(PROFILE.read_text())
    del settings["adaptive"]
    settings |= {"address": server.address, "workers": 2, "wait": 120}
    path = folder / "gateway-here.yaml"
    path.write_text(yaml.safe_dump(settings | more))
    return path
