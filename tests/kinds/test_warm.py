"""Compiling: once for all processes, all that real runs need, and anew when a kernel changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bkgflow.io.storage.marks import is_locked, is_marked, locked, mark
from bkgflow.kinds.warm import KINDS, needed_for
from bkgflow.methods import _compiled
from bkgflow.settings import StepSettings
from tests.helpers.warm import USE

SLITLESS = """
import numpy as np
from bkgflow.methods.slitless import fit_scale
from bkgflow.methods.slitless._kernels import mark_pixels
from bkgflow.rules import ScaleRule
image, mask = np.ones((8, 16), np.float32), np.ones((8, 16), bool)
fit_scale(image, image, mask, image, ScaleRule(rms_stop=1.0), dispersion_axis=1)
print(len(mark_pixels.stats.cache_hits), len(mark_pixels.stats.cache_misses))
"""

WARM = "from bkgflow.kinds.warm import warm_up; print(warm_up({kinds}, print))"


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_after_a_warm_up_nothing_is_left_to_compile(tmp_path: Path) -> None:
    cache = str(tmp_path)
    first = python(WARM.format(kinds=None), NUMBA_CACHE_DIR=cache)
    alone = (os.cpu_count() or 1) < 2
    assert first.startswith("Compiling the kernels for image, the first time on this machine")
    assert (first.count("the first time on this machine") == 6) == alone
    assert f"compiled={KINDS}" in first
    assert "kept=True" in first
    assert python(USE, NUMBA_CACHE_DIR=cache) == "[]\n"
    again = python(WARM.format(kinds=None), NUMBA_CACHE_DIR=cache)
    assert again.startswith("WarmUp(compiled=()")


@pytest.mark.slow
def test_what_an_installation_has_is_read_where_it_cannot_be_written(tmp_path: Path) -> None:
    """Numba is told to pass over the folder, as it does on a read-only disk."""
    # Nothing else on this machine is compiled for such a processor.
    installed = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path / "installed"),
    }
    code = WARM.format(kinds='["slitless"]')
    assert "for slitless, the first time" in python(code, **installed)
    later = installed | {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator",
        "XDG_CACHE_HOME": str(tmp_path / "own"),
    }
    assert python(code, **later) == "WarmUp(compiled=(), kept=True)\n"
    assert python(SLITLESS, **later) == "1 0\n"
    # For another processor it is compiled, once, and kept where it can be.
    other = later | {"NUMBA_CPU_FEATURES": "+sse4.2"}
    assert "for slitless, the first time" in python(code, **other)
    assert python(code, **other) == "WarmUp(compiled=(), kept=True)\n"
    assert python(SLITLESS, **other) == "1 0\n"


def test_another_rule_needs_its_own_kernels_alone() -> None:
    kinds = {"image", "soss"}
    assert needed_for(kinds, StepSettings.of(sigma=2)) == ["image", "soss"]
    assert needed_for(kinds, StepSettings.of(clip="noise")) == ["rules", "soss"]
    assert needed_for({"soss"}, StepSettings.of(clip="noise")) == ["soss"]


def test_means_of_integrations_need_kernels_beside() -> None:
    usual, noise = StepSettings.of(sigma=2), StepSettings.of(clip="noise")
    flags = StepSettings.of(bkg_bad_bits="DO_NOT_USE")  # of no means any more
    assert needed_for({"image", "soss"}, usual, cubes=True) == ["image", "cube", "soss"]
    assert needed_for({"image"}, noise, cubes=True) == ["rules", "cube-rules"]
    assert needed_for({"image"}, flags, cubes=True) == ["cube", "rules"]
    assert needed_for({"slitless"}, usual, cubes=True) == ["slitless"]


@pytest.mark.slow
def test_two_processes_compile_once(tmp_path: Path) -> None:
    code = WARM.format(kinds='["slitless"]')
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=-1, text=True)
        for _ in range(2)
    ]
    said = [each.communicate()[0] for each in both]
    assert sum("the first time" in text for text in said) == 1
    assert all("kept=True" in text for text in said)


@pytest.mark.slow
def test_without_a_cache_it_says_so() -> None:
    said = python(WARM.format(kinds='["slitless"]'), NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator")
    assert "for this process alone" in said
    assert "kept=False" in said


@pytest.mark.slow
def test_a_kernel_is_made_anew_when_one_inside_changes(tmp_path: Path) -> None:
    """Numba by itself would look at the outer one's file only."""
    room = tmp_path / "room"
    (room / "part").mkdir(parents=True)
    for package in (room, room / "part"):
        (package / "__init__.py").touch()
    (room / "_compiled.py").write_text(Path(_compiled.__file__).read_text())
    (room / "part" / "_outer.py").write_text(
        "from room._compiled import compiled\n"
        "from room.part._inner import inner\n"
        "@compiled\n"
        "def outer(x):\n"
        "    return inner(x)\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from room.part._outer import outer; print(outer(20), len(outer.stats.cache_misses))"
    )
    found = []
    for factor in (2, 2, 3):
        (room / "part" / "_inner.py").write_text(
            "from room._compiled import inlined\n"
            "@inlined\n"
            f"def inner(x):\n    return {factor} * x\n"
        )
        values = python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        found.append(tuple(map(int, values.split())))
    assert found == [(40, 1), (40, 0), (60, 1)]  # what comes out, and how often it was compiled


@pytest.mark.slow
def test_processes_that_compile_for_different_types_keep_both(tmp_path: Path) -> None:
    """Numba alone would keep one of them, or one under the name of the other."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    code = (
        "import sys, numpy as np; from bkgflow.methods.slitless._kernels import mark_pixels as k\n"
        "print('here', flush=True); sys.stdin.read(); cache = k._cache._cache_file\n"
        "for i in range(50): cache.save((sys.argv[1], i), 0)\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], env=environment, stdin=-1, stdout=-1)
        for i in range(2)
    ]
    for each in both:
        assert each.stdout is not None and each.stdout.readline() == b"here\n"
    for each in both:
        assert each.stdin is not None
        each.stdin.close()
    assert [each.wait() for each in both] == [0, 0]
    read = (
        "from bkgflow.methods.slitless._kernels import mark_pixels as k\n"
        "found = k._cache._cache_file._own._load_index()\n"
        "print(len(found), len(set(found.values())))"
    )
    assert python(read, NUMBA_CACHE_DIR=str(tmp_path)) == "100 100\n"


@pytest.mark.parametrize("killed", [False, True])
def test_a_lock_is_waited_for_and_dies_with_its_process(tmp_path: Path, killed: bool) -> None:
    path = tmp_path / "deep" / "a.lock"
    code = (
        "import sys; from pathlib import Path; from bkgflow.io.storage.marks import locked\n"
        f"with locked(Path({str(path)!r}), print): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_locked(path) and not is_locked(path.with_name("another"))
    waited = []

    def wait() -> None:
        waited.append(True)
        holder.kill() if killed else holder.stdin.close()

    with locked(path, wait):
        assert waited == [True]
    holder.wait()


def test_marks(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mark"
    assert not is_marked(path, "this")
    assert mark(path, "this")
    assert is_marked(path, "this") and not is_marked(path, "that")
    assert not mark(path / "below a file", "this")
