"""Compiles what a kind of unit needs, once on a machine, while other processes wait.

Numba compiles a kernel when it is first called and keeps the machine code on disk. That takes
seconds, silently, and in every process that comes before the code is there. What an installation
or an image brought with it is used where it was compiled for the same processor.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from functools import cache, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal, NamedTuple

import numpy as np

from bkgflow.io.storage.marks import is_marked, locked, mark
from bkgflow.methods._compiled import SOURCES, cache_folders
from bkgflow.rules import ScaleRule, SossRule, StackRule
from bkgflow.settings import StepSettings

__all__ = ["KINDS", "Kind", "WarmUp", "needed_for", "warm_up"]

Kind = Literal["image", "rules", "slitless", "soss"]
"""Of units, and what images need for another rule than the usual one."""

KINDS: tuple[Kind, ...] = ("image", "rules", "slitless", "soss")

KERNELS_OF: Mapping[str, Kind] = {**{kind: kind for kind in KINDS}, "template": "slitless"}
"""Whose kernels a kind of unit needs: that of templates fits as slitless exposures are fitted."""

_done: set[Kind] = set()
"""What this process compiled."""


class WarmUp(NamedTuple):
    """The kinds that were compiled here; False where every process will compile for itself.

    The cure is ``NUMBA_CACHE_DIR``, naming a folder that can be written.
    """

    compiled: tuple[Kind, ...]
    kept: bool


def needed_for(kinds: Collection[str], settings: StepSettings) -> list[Kind]:
    """Return whose kernels units of some kinds need: images, those of their rule alone."""
    own: Kind = "image" if settings.stack_rule.usual else "rules"
    wanted = {own if each == "image" else KERNELS_OF.get(each) for each in kinds}
    return [kind for kind in KINDS if kind in wanted]


def warm_up(
    kinds: Iterable[Kind] | None = None, say: Callable[[str], object] = lambda text: None
) -> WarmUp:
    """Compile what kinds need, unless it was done before on this machine.

    One process compiles, others wait for it and find the code on disk. All kinds by default;
    ``say`` gets a sentence before anything that takes long.
    """
    compiled, kept = list[Kind](), True
    for kind in KINDS if kinds is None else tuple(dict.fromkeys(kinds)):
        run, seconds, _ = _TASKS[kind]
        folder = next(iter(_folders_of(kind)), None)
        kept &= folder is not None
        if _is_warm(kind):
            continue
        wait = partial(say, f"Another process compiles the kernels for {kind}: waiting for it")
        with locked(folder / f"bkgflow-{kind}.lock", wait) if folder else nullcontext():
            if _is_warm(kind):  # now that the other process is done
                continue
            why = "the first time on this machine" if folder else "for this process alone"
            say(f"Compiling the kernels for {kind}, {why}, about {seconds} s")
            run()
            _done.add(kind)
            compiled.append(kind)
            kept &= folder is not None and mark(_mark_of(folder, kind), SOURCES)
    return WarmUp(tuple(compiled), kept)


def _is_warm(kind: Kind) -> bool:
    """Whether the machine code is there; it may also be, after use without `warm_up`, if not."""
    return kind in _done or any(
        is_marked(_mark_of(folder, kind), SOURCES) for folder in _folders_of(kind)
    )


@cache
def _folders_of(kind: Kind) -> tuple[Path, ...]:
    """Where numba keeps the machine code of a kind, and then where it also looks for it."""
    # A kernel is imported when its kind is asked for: the others are not needed.
    return cache_folders(resolve_name(_TASKS[kind][2]))


def _mark_of(folder: Path, kind: Kind) -> Path:
    return folder / f"bkgflow-{kind}-{_machine()}.warm"


@lru_cache(maxsize=1)
def _machine() -> str:
    """Name what else machine code depends on: as numba's own index, the processor.

    The one that is compiled for, if ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` name one.
    """
    import llvmlite.binding as llvm
    import numba
    from numba.core import config

    name, features = config.CPU_NAME, config.CPU_FEATURES
    if name is None:
        name = llvm.get_host_cpu_name()
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    digest = sha256(features.encode()).hexdigest()[:8]
    python = "".join(platform.python_version_tuple()[:2])
    return f"{name}-{digest}-py{python}-numba{numba.__version__}"


def _image() -> None:
    """Images, and cubes: their integrations, and then their means, which are float64."""
    from bkgflow.methods.clip import collapse, combine

    shape, dq = (8, 8, 16), np.zeros((8, 8, 16), np.uint32)
    single, double = np.ones(shape, np.float32), np.ones(shape)
    combine(single, single, dq)
    collapse(single, single, dq)
    combine(double, double, dq)


def _rules() -> None:
    """The same stacks, by another rule than the usual one."""
    from bkgflow.methods.clip import collapse, combine

    shape, dq, rule = (8, 8, 16), np.zeros((8, 8, 16), np.uint32), StackRule(combine="median")
    single, double = np.ones(shape, np.float32), np.ones(shape)
    combine(single, single, dq, rule)
    collapse(single, single, dq, rule)
    combine(double, double, dq, rule)


def _slitless() -> None:
    from bkgflow.methods.slitless import fit_scale

    image, mask = np.ones((8, 16), np.float32), np.ones((8, 16), bool)
    fit_scale(image, image, mask, image, ScaleRule(rms_stop=1.0), dispersion_axis=1)


def _soss() -> None:
    """A million pixels: on fewer, percentiles are found in another way."""
    from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
    from bkgflow.methods.soss._ratios import square_residuals

    rng = np.random.default_rng(0)
    sci = rng.normal(1.0, 0.1, (12, 128, 960)).astype(np.float32)
    library = np.ones((1, *sci.shape[1:]), np.float32)
    segment = ArraySegment(sci, np.zeros(sci.shape, np.uint32))
    [fit] = fit_soss([segment], library, SossRule(source_percentile=100.0))
    subtract_soss(sci, library, fit)
    # Only where a ratio overflows.
    square_residuals(sci[0, 0], np.zeros(sci.shape[-1], np.uint32), library[0, 0], 1.0)


_TASKS: dict[Kind, tuple[Callable[[], None], int, str]] = {
    "image": (_image, 10, "bkgflow.methods.clip._kernels:average_stack"),
    "rules": (_rules, 12, "bkgflow.methods.clip._ruled:by_rule"),
    "slitless": (_slitless, 3, "bkgflow.methods.slitless._kernels:take_pixels"),
    "soss": (_soss, 4, "bkgflow.methods.soss._stream:collect_sky"),
}
"""What calls every kernel as real data do; the seconds that takes, roughly; one of the kernels."""
