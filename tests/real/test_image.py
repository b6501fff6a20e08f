"""The image, built for real: what runs in it, as nobody, on a root that cannot be written."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

from tests.helpers.podman import AS_SHIPPED, IMAGE, build, missing_tools, podman, run
from tests.helpers.warm import USE

pytestmark = [pytest.mark.debian, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def image():
    """The image; it is taken away afterwards, its base stays."""
    if missing := missing_tools():
        pytest.skip(missing)
    done = build()
    assert done.code == 0, done.said[-4000:]
    yield done
    podman("rmi", "--force", IMAGE)


def test_it_is_small_and_starts_fast(image, capsys):
    [found] = json.loads(podman("image", "inspect", IMAGE).said)
    first, again = run("bkgflow", "--version"), run("bkgflow", "--version")
    assert again.code == 0 and again.said.startswith("bkgflow ")
    with capsys.disabled():
        print(
            f"\nImage: built in {image.seconds:.0f} s, {found['Size'] / 1e9:.2f} GB; "
            f"bkgflow --version in a new container: {first.seconds:.1f} s, {again.seconds:.1f} s"
        )
    assert found["Size"] < 1.0e9
    assert found["Config"]["User"] == "10001:10001"
    assert not [each for each in found["Config"]["Env"] if re.search("KEY|SECRET|PIP", each)]


def test_it_is_nobody_who_can_write_nowhere_but_in_tmp(image):
    done = run("sh", "-c", "id -u; for d in / /opt/bkgflow /data /var /run; do touch $d/x; done")
    assert done.said.startswith("10001\n")
    assert len(re.findall("Read-only file system|Permission denied", done.said)) == 5
    assert run("touch", "/tmp/x").code == 0
    assert run("bkgflow", "--version", options=("--user=54321",)).code == 0


def test_there_is_nothing_to_install_with(image):
    for word in ("pip", "setuptools", "pytest", "jwst"):
        assert run("python", "-c", f"import {word}").code == 1
    assert run("sh", "-c", "command -v pip pip3 gcc strip").said == ""


@pytest.mark.parametrize("wrapped", [True, False])
def test_no_kernel_is_compiled(image, wrapped):
    """Neither where the image's own script starts it, nor where a command goes past that."""
    options = () if wrapped else ("--entrypoint=",)
    done = run("python", "-", given=USE, options=options)
    assert done.said == "[]\n"
    done = run("bkgflow", "warm-up", options=options)
    assert done.said == "Compiled: nothing, all was there\n"


def test_for_another_processor_they_are_compiled_as_anywhere(image):
    options = ("--env=NUMBA_CPU_NAME=generic",)
    done = run("bkgflow", "warm-up", "slitless", options=options)
    assert "Compiling the kernels for slitless" in done.said
    assert done.said.endswith("Compiled: slitless\n")


def test_the_demo_runs(image, capsys):
    """With worker processes of its own, whose every look at numba's cache is told."""
    words = ("demo", "/tmp/demo", "--size", "256", "--cluster", "local", "--workers", "2")
    done = run("bkgflow", *words, options=("--env=NUMBA_DEBUG_CACHE=1",))
    assert done.code == 0, done.said[-4000:]
    assert "Picture: /tmp/demo/pictures" in done.said
    assert "Compiling the kernels" not in done.said
    assert "[cache] data loaded from '/opt/bkgflow/lib" in done.said
    assert "saved to" not in done.said
    assert "Traceback" not in done.said and "warn" not in done.said.lower()
    with capsys.disabled():
        print(f"\nThe demo in the image: {done.seconds:.0f} s")


@pytest.fixture
def scheduler(image):
    """A scheduler in a container, and the port of its health."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}/health"
    words = ("dask", "scheduler", "--host=127.0.0.1", "--port=0")
    # Who asks regularly here is this test: podman would have systemd do it.
    started = podman(
        "run", "-d", "--health-interval=disable",
        f"--env=BKGFLOW_HEALTH={url}", *AS_SHIPPED, IMAGE, *words,
        f"--dashboard-address=127.0.0.1:{port}",
    )  # fmt: skip
    assert started.code == 0, started.said
    name = started.said.split()[-1]
    yield name
    podman("rm", "--force", "--time=5", name)


def test_a_scheduler_says_how_it_is(scheduler):
    deadline = time.monotonic() + 60
    while podman("healthcheck", "run", scheduler).code:
        assert time.monotonic() < deadline, podman("logs", scheduler).said
        time.sleep(0.5)
    check = "/opt/bkgflow/image/healthcheck.py"
    wrong = "--env=BKGFLOW_HEALTH=http://127.0.0.1:9/health"
    ill = podman("exec", wrong, scheduler, "python", check)
    assert ill.code == 1 and "Not well: http://127.0.0.1:9/health" in ill.said
    stopped = podman("stop", "--time=20", scheduler)
    assert stopped.code == 0 and stopped.seconds < 15


def test_without_anything_to_ask_it_tries_to_write(image):
    check = ("python", "/opt/bkgflow/image/healthcheck.py")
    assert run(*check).code == 0
    bare = [each for each in AS_SHIPPED if each != "--tmpfs=/tmp"]
    nowhere = podman("run", "--rm", "--no-healthcheck", *bare, IMAGE, *check)
    assert nowhere.code == 1 and "Not well: the scratch folder" in nowhere.said
