"""Ceph's RADOS gateway on this machine: a monitor, one disk in a sparse file, and the gateway."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 0
mon_data_avail_warn = 0
mon_max_pg_per_osd = 1000
osd_objectstore = bluestore
bluestore_block_size = 4294967296
osd_memory_target = 1073741824
mon_data = {folder}/mon
osd_data = {folder}/osd
log_file = {folder}/$name.log
pid_file = {folder}/$name.pid
admin_socket = {folder}/$name.asok
run_dir = {folder}
keyring = {folder}/keyring
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_data = {folder}/rgw
rgw_dns_name =
debug_mon = 0
debug_osd = 0
debug_rgw = 1
"""

ENTITY = """\
[{name}]
key = AQBSdFhcGk4sABAAqyLhfRHzzOm3zVNd0bRL7g==
"""
ENTITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "client.rgw": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}
"""Who may do what; all have one key, which nobody else needs."""


def _keyring() -> str:
    return "".join(
        ENTITY.format(name=name) + "".join(f'caps {what} = "{may}"\n' for what, may in caps.items())
        for name, caps in ENTITIES.items()
    )


def missing_programs() -> str:
    """What of Ceph is not there; empty where all of it is, and it may be run."""
    lacking = [each for each in PROGRAMS if shutil.which(each) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (tests/real/install.sh installs them)"
    return "" if os.geteuid() == 0 else "Ceph's programs want to be run as root"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def gateway(folder: Path, key: str, secret: str, patience: float = 90.0):
    """Run a gateway below a folder, with one user; give its port."""
    fsid, port = str(uuid4()), _free_port()
    mon1, mon2 = _free_port(), _free_port()
    conf = folder / "ceph.conf"
    conf.write_text(CONF.format(fsid=fsid, folder=folder, port=port, mon1=mon1, mon2=mon2))
    (folder / "keyring").write_text(_keyring())
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    started: list[subprocess.Popen[bytes]] = []
    said = (folder / "said.log").open("ab")

    def run(*words: str) -> str:
        done = subprocess.run(
            [*words, "-c", str(conf)], stdout=subprocess.PIPE, stderr=said, check=True, timeout=60
        )
        return done.stdout.decode()

    def start(*words: str) -> None:
        command = [*words, "-f", "-c", str(conf)]
        started.append(subprocess.Popen(command, stdout=said, stderr=said))

    try:
        monmap, keyring, osd = str(folder / "monmap"), str(folder / "keyring"), str(uuid4())
        where = f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]"
        run("monmaptool", "--create", "--addv", "a", where, "--fsid", fsid, monmap)
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        start("ceph-mon", "-i", "a")
        run("ceph", "--connect-timeout", "20", "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        start("ceph-osd", "-i", "0")
        start("radosgw", "-n", "client.rgw")
        _wait(port, started, patience)
        user = ("--uid", "tests", "--display-name", "tests")
        words = ("radosgw-admin", "user", "create", *user, "--access-key", key, "--secret", secret)
        run(*words)
        yield port
    finally:
        for each in reversed(started):
            each.terminate()
        for each in reversed(started):
            with suppress(subprocess.TimeoutExpired):
                each.wait(10)
            if each.poll() is None:
                each.kill()
                each.wait()
        said.close()


def _wait(port: int, started: list[subprocess.Popen[bytes]], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if any(each.poll() is not None for each in started):
            raise RuntimeError("a program of Ceph has ended")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as line:
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if line.recv(5) == b"HTTP/":
                return
        time.sleep(0.2)
    raise RuntimeError(f"Ceph's gateway is not up after {patience} s")
