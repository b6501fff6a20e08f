"""The kernels compiled once, before several processes would do so at the same time."""

from __future__ import annotations

from bkgflow.kinds.warm import warm_up

__all__ = ["USE", "compile_kernels"]

USE = """
import json, sys
import numpy as np
from bkgflow.methods.clip import collapse, combine, rejected
from bkgflow.methods.slitless import fit_scale, residual_mask, subtract_scaled
from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
from bkgflow.rules import ClipRule, ScaleRule, SossRule, StackRule

rng = np.random.default_rng(1)
sci = rng.normal(1, 0.1, (9, 40, 50)).astype("f4")
err, dq = np.full_like(sci, 0.1), np.zeros(sci.shape, np.uint32)
for errors in (err, None):
    rule = StackRule(clip=ClipRule(sigma=2.0, maxiters=3))
    combine(sci, errors, dq, rule, members=[1, 2, 5])
    for rule in (StackRule(), StackRule(combine="median", dq_percent=50.0)):
        means = [collapse(sci, errors, dq, rule) for _ in range(3)]
        fine = None if errors is None else np.stack([m.err for m in means])
        combine(np.stack([m.sci for m in means]), fine, dq[:3], rule)
    rejected(sci, StackRule(clip=ClipRule(method="minmax")))
combine(sci.astype(">f4"), err, dq)
image, mask = sci[0], np.ones(sci.shape[1:], bool)
for rule in (ScaleRule(), ScaleRule(maxiter=0), ScaleRule(rms_stop=0.1)):
    for axis in (1, 2):
        fit_scale(image, err[0], mask, np.stack([np.ones_like(image), sci[1]]), rule,
                  dispersion_axis=axis)
wide = np.concatenate([image] * 10, axis=1)
fit_scale(wide, wide, wide > 0, np.ones_like(wide), ScaleRule())
subtract_scaled(wide, wide.copy(), np.ones(1))
residual_mask(image, err[0], dq[0], np.ones_like(image))
series = rng.normal(1, 0.1, (12, 128, 960)).astype("f4")
library = rng.normal(1, 0.1, (2, 128, 960)).astype("f4")
library[:, 3, 3] = np.nan
library[:, 4, 4] = 1e-39
for rule in (SossRule(), SossRule(source_percentile=100.0), SossRule(fit="integration")):
    segment = ArraySegment(series.copy(), np.zeros(series.shape, np.uint32))
    [fit] = fit_soss([segment], library, rule)
    subtract_soss(segment.sci, library, fit)
bad = ArraySegment(series[:1], np.ones((1, 128, 960), np.uint32))
fit_soss([bad], library)
compiled = [
    f"{name}.{kernel.__name__}"
    for name, module in list(sys.modules.items()) if name.startswith("bkgflow.methods")
    for kernel in vars(module).values() if hasattr(kernel, "stats") and kernel.stats.cache_misses
]
print(json.dumps(compiled))
"""
"""A script that calls every kernel as runs do, and prints those that it had to compile."""


def compile_kernels() -> None:
    """Have the machine code of every kernel on disk."""
    warm_up(say=print)
