"""Compiles what a kind of unit needs, once on a machine, while other processes wait.

Numba compiles a kernel when it is first called and keeps the machine code on disk. That takes
seconds, silently, and in every process that comes before the code is there. What an installation
or an image brought with it is used where it was compiled for the same processor.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal, NamedTuple

import numpy as np

from bkgflow.io.storage.marks import is_locked, is_marked, locked, mark
from bkgflow.methods._compiled import SOURCES, cache_folders
from bkgflow.rules import ScaleRule, SossRule, StackRule
from bkgflow.settings import StepSettings

__all__ = ["KINDS", "Kind", "WarmUp", "needed_for", "warm_up"]

Kind = Literal["image", "cube", "rules", "cube-rules", "slitless", "soss"]
"""Of units; of images, what other rules than the usual one need is apart, and so is what means of
integrations need beside: they are float64, and compiling twice takes twice as long."""

KINDS: tuple[Kind, ...] = ("image", "cube", "rules", "cube-rules", "slitless", "soss")

KERNELS_OF: Mapping[str, Kind] = {**{kind: kind for kind in KINDS}, "template": "slitless"}
"""Whose kernels a kind of unit needs: that of templates fits as slitless exposures are fitted."""

_done: set[Kind] = set()
"""What this process compiled."""


class WarmUp(NamedTuple):
    """The kinds that were not there before; ``kept`` is False where every process compiles anew.

    The cure is ``NUMBA_CACHE_DIR``, naming a folder that can be written.
    """

    compiled: tuple[Kind, ...]
    kept: bool


def needed_for(
    kinds: Collection[str], settings: StepSettings, *, cubes: bool = False
) -> list[Kind]:
    """Return whose kernels units of some kinds need: images, those of their rule alone.

    ``cubes`` says whether a background has integrations.
    """
    rule = settings.stack_rule
    wanted = {KERNELS_OF.get(each) for each in kinds if each != "image"}
    if "image" in kinds:
        wanted.add("image" if rule.usual else "rules")
        if cubes:
            wanted.add("cube" if rule.of_means.usual else "cube-rules")
    return [kind for kind in KINDS if kind in wanted]


def warm_up(
    kinds: Iterable[Kind] | None = None,
    say: Callable[[str], object] = lambda text: None,
    *,
    helped: bool = True,
) -> WarmUp:
    """Compile what kinds need, unless it was done before on this machine.

    One process compiles a kind, others find it on disk. Who meets a kind that another one
    compiles goes on with the next, and waits at the end. Of several kinds a second process
    compiles some, where there is a core for it and it is ``helped``. All kinds by default;
    ``say`` gets a sentence before anything that takes long.
    """
    wanted = KINDS if kinds is None else tuple(dict.fromkeys(kinds))
    cold = [kind for kind in wanted if not _is_warm(kind)]
    kept = all(_folders_of(kind) for kind in wanted)
    with _from_the_other_end(cold) if kept and helped else nullcontext():
        for kind in cold:
            if not (kept and is_locked(_lock_of(kind))):
                kept &= _compile(kind, say)
        for kind in cold:
            kept &= _compile(kind, say)
    return WarmUp(tuple(cold), kept)


def _compile(kind: Kind, say: Callable[[str], object]) -> bool:
    """Compile what a kind needs, if it is not there; return whether others will find it."""
    folder = next(iter(_folders_of(kind)), None)
    wait = partial(say, f"Another process compiles the kernels for {kind}: waiting for it")
    with nullcontext() if _is_warm(kind) or not folder else locked(_lock_of(kind), wait):
        if _is_warm(kind):  # perhaps now that another process is done
            return folder is not None
        why = "the first time on this machine" if folder else "for this process alone"
        say(f"Compiling the kernels for {kind}, {why}, about {_TASKS[kind].seconds} s")
        _TASKS[kind].run()
        _done.add(kind)
        return folder is not None and mark(_mark_of(folder, kind), SOURCES)


@contextmanager
def _from_the_other_end(kinds: Sequence[Kind]) -> Iterator[None]:
    """Have another process compile kinds, the last one first: numba compiles in one thread."""
    if len(kinds) < 2 or (os.cpu_count() or 1) < 2:
        yield
        return
    # The same modules, where ever this process has them from.
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    code = f"from {__name__} import warm_up; warm_up({kinds[::-1]!r}, helped=False)"
    second = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        yield
    finally:
        second.terminate()  # what it had is done, or is compiled here at last
        second.wait()


def _is_warm(kind: Kind) -> bool:
    """Whether the machine code is there; it may also be, after use without `warm_up`, if not."""
    return kind in _done or any(
        is_marked(_mark_of(folder, kind), SOURCES) for folder in _folders_of(kind)
    )


@cache
def _folders_of(kind: Kind) -> tuple[Path, ...]:
    """Where numba keeps the machine code of a kind, and then where it also looks for it."""
    # A kernel is imported when its kind is asked for: the others are not needed.
    return cache_folders(resolve_name(_TASKS[kind].kernel))


def _lock_of(kind: Kind) -> Path:
    return _folders_of(kind)[0] / f"bkgflow-{kind}.lock"


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


def _combine(rule: StackRule, real: type[np.floating]) -> None:
    """Combine a small stack, as if of images (float32) or of means of integrations (float64)."""
    from bkgflow.methods.clip import combine

    values = np.ones((8, 8, 16), real)
    combine(values, values, np.zeros(values.shape, np.uint32), rule)


def _slitless() -> None:
    from bkgflow.methods.slitless import fit_background, subtract_scaled

    # Enough pixels for a choice of them: those that are far out are taken from all.
    image, mask = np.ones((128, 256), np.float32), np.ones((128, 256), bool)
    image[::7, ::3] = 2.0
    rule, flags = ScaleRule(rms_stop=1.0), np.zeros(image.shape, np.uint32)
    fit_background(image, image, flags, mask, image, rule, dispersion_axis=1, template_dq=flags)
    subtract_scaled(image, image.copy(), np.ones(1))


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


USUAL, ANOTHER = StackRule(), StackRule(combine="median")

AVERAGE = "bkgflow.methods.clip._kernels:average_stack"
BY_RULE = "bkgflow.methods.clip._ruled:by_rule"


class _Task(NamedTuple):
    """What calls every kernel as real data do; the seconds that takes, roughly; one of them."""

    run: Callable[[], None]
    seconds: int
    kernel: str


_TASKS: dict[Kind, _Task] = {
    "image": _Task(partial(_combine, USUAL, np.float32), 7, AVERAGE),
    "cube": _Task(partial(_combine, USUAL, np.float64), 7, AVERAGE),
    "rules": _Task(partial(_combine, ANOTHER, np.float32), 12, BY_RULE),
    "cube-rules": _Task(partial(_combine, ANOTHER, np.float64), 12, BY_RULE),
    "slitless": _Task(_slitless, 3, "bkgflow.methods.slitless._kernels:mark_pixels"),
    "soss": _Task(_soss, 4, "bkgflow.methods.soss._stream:collect_sky"),
}
