"""Object stores for tests: moto's server, a bucket in it, and what a process needs to reach it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from bkgflow.io.storage.reached import forget_stores
from bkgflow.io.storage.unwell import Patience
from tests.helpers.clusters import ROOT
from tests.helpers.store_proxy import Proxy, Request, proxy_before

KEY, SECRET = "test-access-key", "a-secret-that-nothing-may-repeat"


@dataclass
class Store:
    """A bucket of a running server, reached through a proxy."""

    proxy: Proxy
    bucket: str
    port: int
    key: str = KEY
    secret: str = SECRET

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def client(self):
        """A client past the code under test, and past the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "FSSPEC_S3": '{"config_kwargs": {"read_timeout": 10, "connect_timeout": 5}}',
        }

    def put(self, name: str, data: bytes) -> str:
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data)
        return f"{self.url}/{name}"

    def upload(self, folder: Path, to: str = "") -> str:
        """Put all files of a folder below a name; return its URL."""
        client = self.client
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            key = f"{to}/{path.relative_to(folder)}".lstrip("/")
            client.upload_file(str(path), self.bucket, key)
        return f"{self.url}/{to}".rstrip("/")

    def names(self, below: str = "") -> list[str]:
        """The keys of all objects, in order."""
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=below)
        return [each["Key"] for each in found.get("Contents", ())]

    def get(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()


@pytest.fixture(scope="session")
def moto_port():
    """Moto's server, in threads of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@contextmanager
def bucket_in(port: int, name: str, key: str = KEY, secret: str = SECRET):
    """Make an empty bucket, and a proxy before its server."""
    with proxy_before(port) as proxy:
        store = Store(proxy, name, port, key, secret)
        store.client.create_bucket(Bucket=name)
        yield store


def enter(store: Store, monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    """Have this process, and those that it starts, reach a store."""
    for name in [each for each in os.environ if each.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(state / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    forget_stores()


@pytest.fixture
def store(moto_port, request, monkeypatch, tmp_path_factory):
    """An empty bucket of moto's server; this process, and those it starts, reach it."""
    name = f"b-{abs(hash(request.node.nodeid)) % 10**12}"
    with bucket_in(moto_port, name) as made:
        enter(made, monkeypatch, tmp_path_factory.mktemp("home"))
        yield made
    forget_stores()


def killed_at(store: Store, wanted: Callable[[Request], bool], *words: str) -> None:
    """Run a command until it makes a request, which is never answered; then kill it."""
    met = threading.Event()

    def stall(request: Request, _number: int) -> str:
        if not wanted(request):
            return ""
        met.set()
        return "stall"

    store.proxy.fault = stall
    process = subprocess.Popen(
        [sys.executable, "-c", "from bkgflow.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        assert met.wait(120), "it has never made that request"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        store.proxy.fault = lambda _request, _number: ""


@pytest.fixture
def hasty(monkeypatch):
    """Requests are made again at once, and eight times at most."""
    monkeypatch.setattr("bkgflow.io.storage.unwell.PATIENCE", Patience(8, 0.01))
