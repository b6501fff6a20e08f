"""A PostgreSQL server of one's own, on this machine: the real thing, in a scratch folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tests.helpers.clusters import free_port

ACCESS = """\
host all ada 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
"""Who must tell a password: one user, so that both ways can be tried."""


def missing() -> str:
    """Why no server can be had here; empty where one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if _binaries() is None:
        return "no PostgreSQL server is installed (initdb)"
    if os.geteuid() == 0 and (not shutil.which("runuser") or not _user_exists()):
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return ""


class Server:
    """A server that listens at a port of this machine alone."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-postgres-"))
        self.port = free_port()
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._call("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync")
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        log = self.folder / "log"
        self._call("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash would: no connection is ended in order."""
        self._call("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def database(self, user: str = "postgres") -> str:
        """Make an empty database; return its URL."""
        name = f"ledger_{uuid4().hex[:8]}"
        self.ask(f'CREATE DATABASE "{name}"')
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    def user(self, name: str) -> None:
        """Make a user who may do everything, if there is none."""
        if not self.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
            self.ask(f"CREATE ROLE {name} LOGIN SUPERUSER")

    def ask(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Ask it something, as its owner."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True
        ) as connection:
            found = connection.execute(query)
            return found.fetchall() if found.description else []

    def end(self) -> None:
        """Stop it and leave nothing behind."""
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *arguments: object) -> None:
        binaries = _binaries()
        assert binaries is not None
        command = [str(binaries / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(
            command,
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _binaries() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


def _user_exists() -> bool:
    import pwd

    with suppress(KeyError):
        return bool(pwd.getpwnam("postgres"))
    return False
