"""What rules make of noise and of sources, by simulation: bias, false rejections, uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bkgflow.methods.clip import collapse, combine, rejected
from bkgflow.rules import ClipRule, StackRule

Array = NDArray[Any]

DRAWS, PIXELS = 200, 250


def rule(method: str = "none", side: str = "both", **more: Any) -> StackRule:
    return StackRule(clip=ClipRule(method=method, side=side), **more)


NOISE, HIGH = rule("noise"), rule("noise", "high")
ALL = [
    rule("sigma"), rule("sigma", "high"), rule("robust"), rule("robust", "low"), NOISE, HIGH,
    rule("minmax"), rule(), rule(combine="median"), rule("noise", combine="median"),
    rule("minmax", combine="median"), rule("minmax", combine="weighted"),
    rule("noise", combine="weighted"), rule(combine="weighted", weights="exptime"),
    rule("robust", combine="median"),
]  # fmt: skip
ANY_ERRORS = [each for each in ALL if each.clip.method in ("none", "noise")]
"""Rules that make no difference between exposures of different noise, or know of it."""


def name(value: object) -> str | None:
    if not isinstance(value, StackRule):
        return None
    return f"{value.clip.method}-{value.clip.side}-{value.combine}-{value.weights}"


def noise(seed: int, errors: Array) -> tuple[Array, Array, Array]:
    """SCI, ERR and DQ of exposures with these errors."""
    rng, shape = np.random.default_rng(seed), (len(errors), DRAWS, PIXELS)
    err = np.broadcast_to(np.reshape(errors, (-1, 1, 1)), shape)
    sci = 5.0 + rng.normal(size=shape) * err
    return sci.astype(np.float32), err.astype(np.float32), np.zeros(shape, np.uint32)


def width(sci: Array, err: Array, *, biased: bool = False) -> float:
    """The width of the pulls of the draws: around the truth, or around their own mean."""
    pulls = (sci - 5.0) / err
    return float(np.std(pulls) if biased else np.sqrt(np.mean(pulls**2)))


@pytest.mark.parametrize("n", [2, 3, 4, 7, 12])
@pytest.mark.parametrize("how", ALL, ids=name)
def test_uncertainties_hold(how: StackRule, n: int) -> None:
    sci, err, dq = noise(n, np.ones(n))
    got = combine(sci, err, dq, how, exptime=np.arange(1.0, n + 1).tolist())
    assert width(got.sci, got.err, biased=how.clip.side != "both") == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 12])
@pytest.mark.parametrize("how", ANY_ERRORS, ids=name)
def test_uncertainties_hold_where_one_exposure_has_more_noise(how: StackRule, n: int) -> None:
    sci, err, dq = noise(n, np.array([3.0] + [1.0] * (n - 1)))
    got = combine(sci, err, dq, how, exptime=[1.0] + [9.0] * (n - 1))
    assert width(got.sci, got.err) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("how", ALL, ids=name)
def test_uncertainties_hold_of_cubes(how: StackRule) -> None:
    """Integrations first, then exposures, by the same rule."""
    parts = [noise(seed, np.ones(5)) for seed in range(4)]
    means = [collapse(*each, how) for each in parts]
    stacked = [np.stack([getattr(mean, name) for mean in means]) for name in ("sci", "err", "dq")]
    got = combine(*stacked, how, exptime=[1.0] * 4)
    assert width(got.sci, got.err, biased=how.clip.side != "both") == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("loud", [1.0, 3.0])
@pytest.mark.parametrize("how", [NOISE, HIGH], ids=name)
def test_little_of_pure_noise_is_rejected(how: StackRule, loud: float, n: int) -> None:
    """Of each exposure, also of one with more noise than the others; and little is lost by it."""
    sci, err, dq = noise(n, np.array([loud] + [1.0] * (n - 1)))
    dropped = rejected(sci, how, err, dq)
    assert (dropped.mean(axis=(1, 2)) <= 0.01).all()
    plain = combine(sci, err, dq, rule())
    assert combine(sci, err, dq, how).sci.std() <= 1.1 * plain.sci.std()


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("strength", [10, 30, 100, 1000])
@pytest.mark.parametrize(("how", "n"), [(HIGH, 2), *((NOISE, n) for n in range(3, 8)),
                                        *((HIGH, n) for n in range(3, 8))], ids=name)  # fmt: skip
def test_no_source_is_left_in_nods(how: StackRule, n: int, strength: int, own: float) -> None:
    """One of n exposures has a source, with photon noise of its own as ERR says it, or without."""
    sci, err, dq = noise(n + strength, np.ones(n))
    err[0] = np.sqrt(1 + own * strength)
    rng = np.random.default_rng(strength)
    sci[0] = 5.0 + strength + rng.normal(size=sci[0].shape) * err[0]
    got = combine(sci, err, dq, how)
    assert abs(got.sci.mean() - 5.0) < 0.3 * np.median(got.err)
    if n >= 4:
        assert got.sci.std() <= 1.1 / np.sqrt(n - 1)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_several_sources_are_found_one_after_the_other(n: int) -> None:
    """Of different strength, one hiding the other; where the lower half is free of them."""
    sci, err, dq = noise(n, np.ones(n))
    sci[0] += 1000
    sci[1] += 20
    how = HIGH if n == 4 else NOISE
    got = combine(sci, err, dq, how)
    assert abs(got.sci.mean() - 5.0) < 0.3 * np.median(got.err)
    assert np.median(got.n_used) == n - 2


def test_the_usual_clip_drops_nothing_from_seven() -> None:
    sci, err, dq = noise(0, np.ones(7))
    sci[0] += 1000
    assert not rejected(sci, StackRule(), err, dq).any()
    assert rejected(sci, NOISE, err, dq)[0].all()


@pytest.mark.slow
@pytest.mark.parametrize("side", ["high", "low"])
def test_a_side_is_left_alone(side: str) -> None:
    for method in ("sigma", "robust", "noise", "minmax"):
        sci, err, dq = noise(1, np.ones(12))
        sci[0, :, ::2] += 50
        sci[1, :, 1::2] -= 50
        dropped = rejected(sci, rule(method, side), err, dq)
        gone, left = (dropped[0, :, ::2], dropped[1, :, 1::2])
        if side == "low":
            gone, left = left, gone
        assert gone.all()
        assert not left.any()
