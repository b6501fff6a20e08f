"""Synthetic SOSS skies and series, without files."""

from __future__ import annotations

import numpy as np

DO_NOT_USE, SATURATED, REFERENCE_PIXEL = 1, 2, 1 << 31

NX = 2048


def make_library(rng, n, ny=256):
    """Templates with a step near column 700, each with a slope and a step of its own."""
    columns = np.linspace(-1, 1, NX)
    library = np.empty((n, ny, NX), np.float32)
    for template in library:
        step = rng.integers(692, 712) + 0.02 * rng.normal() * np.arange(ny)[:, None]
        rise = 1 / (1 + np.exp(-(np.arange(NX) - step) / 3.0))
        level = 4.7 + rng.normal(0, 0.3) * columns + rng.normal(0, 0.2) * columns**2
        template[...] = level + rng.uniform(1.5, 3.0) * rise
    return library * rng.normal(1, 0.01, library.shape).astype(np.float32)


def observe(rng, sky, n, noise=0.3):
    """Integrations of a sky with two traces, bad pixels, NaN and reference pixels."""
    ny = sky.shape[0]
    rows, columns = np.arange(ny)[:, None], np.arange(NX)
    light = sum(
        peak * np.exp(-0.5 * ((rows - ny * place - tilt * columns) / 6.0) ** 2)
        for peak, place, tilt in ((200.0, 0.25, 0.01), (60.0, 0.7, 0.005))
    )
    sci = (sky + light + rng.normal(0, noise, (n, ny, NX))).astype(np.float32)
    dq = np.zeros(sci.shape, np.uint32)
    dq[rng.random(sci.shape) < 0.01] = DO_NOT_USE
    dq[rng.random(sci.shape) < 0.01] |= SATURATED
    dq[:, :, :4] |= REFERENCE_PIXEL
    sci[:, :, :4] = 0.0
    sci[rng.random(sci.shape) < 0.005] = np.nan
    sci[dq == DO_NOT_USE] = rng.choice([np.nan, -1e4, 1e5])
    return sci, dq


def same(first, second):
    """Two fits agree to the bit."""
    assert (first.template, first.threshold) == (second.template, second.threshold)
    for name in ("scales", "errors", "random_errors", "rms", "n_kept", "n_used"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)
