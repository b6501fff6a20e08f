"""Stacks combined by any rule: what the compiled loops of ``_ruled`` are given."""

from __future__ import annotations

import math

import numpy as np

from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals, Words
from bkgflow.methods.clip._outliers import Output
from bkgflow.methods.clip._pixel import (
    MAD,
    MINMAX,
    NOISE,
    NOTHING,
    SPREAD,
    Exposures,
    Room,
    Rule,
    Tile,
)
from bkgflow.methods.clip._ruled import by_rule
from bkgflow.methods.clip.efficiency import mad_corrections, variance_factors
from bkgflow.methods.clip.search import bound, sorting_network
from bkgflow.rules import StackRule

__all__ = ["average_by_rule", "dropped_by_rule"]

CACHED_VALUES = 8192
"""Values of a tile: with their errors they stay in the L2 cache."""

NARROWEST, WIDEST = 64, 2048
"""Widths of a tile, in pixels (both multiples of 8)."""

CLIPS = {"sigma": SPREAD, "robust": MAD, "noise": NOISE, "minmax": MINMAX, "none": NOTHING}


def average_by_rule(
    sci: Reals,
    err: Reals | None,
    dq: Words,
    rule: StackRule,
    members: Integers,
    weights: Doubles,
    out: Output,
) -> None:
    """Combine some members of stacks that fit each other into the pixels of ``out``.

    ``weights`` are exposure times, (n_exposures,) float64; ones where the rule asks for none.
    """
    _run(sci, err, dq, rule, members, weights, out, np.empty((0, 0), np.bool_))


def dropped_by_rule(sci: Reals, err: Reals | None, dq: Words, rule: StackRule) -> Bools:
    """Return which values of a stack (n, ny, nx) are clipped; what takes no part is not."""
    n, none = len(sci), np.empty(0)
    dropped = np.zeros((n, math.prod(sci.shape[1:])), np.bool_)
    out = Output(
        np.empty(0, np.float32), np.empty(0, np.float32), none, none.copy(),
        np.empty(0, np.uint32), np.empty(0, np.uint16),
    )  # fmt: skip
    _run(sci, err, dq, rule, np.arange(n), np.ones(n), out, dropped)
    return dropped.reshape(sci.shape)


def _run(
    sci: Reals,
    err: Reals | None,
    dq: Words,
    rule: StackRule,
    members: Integers,
    weights: Doubles,
    out: Output,
    dropped: Bools,
) -> None:
    if err is None:
        err = np.empty((0, *sci.shape[1:]), np.float32)
    narrow = np.can_cast(sci.dtype, np.float32) and np.can_cast(err.dtype, np.float32)
    real: np.dtype[np.floating] = np.dtype(np.float32 if narrow else np.float64)
    pixels, n, clip = math.prod(sci.shape[1:]), members.size, rule.clip
    by_rule(
        Exposures(
            read_only(sci, real).reshape(len(sci), pixels),
            read_only(err, real).reshape(len(err), pixels),
            read_only(dq, np.uint32).reshape(len(dq), pixels),
            read_only(members, np.int64),
            read_only(weights, np.float64),
        ),
        Rule(
            CLIPS[clip.method],
            clip.side != "high",
            clip.side != "low",
            float(clip.sigma),
            clip.maxiters or 0,
            bound(clip, n) if clip.method == "sigma" else 0.0,
            rule.combine == "median",
            rule.combine == "weighted",
            (rule.combine, rule.weights) == ("weighted", "err"),
            rule.needs_errors,
            np.uint32(rule.bad_bits),
            float(rule.dq_percent),
            sorting_network(n if rule.combine == "median" or clip.method == "robust" else 1),
            read_only(mad_corrections(n), np.float64),
            read_only(variance_factors(rule, n), np.float64),
        ),
        _new_tile(n),
        Room(np.empty(n)),
        out,
        dropped,
    )  # fmt: skip


def _new_tile(n: int) -> Tile:
    width = min(max(CACHED_VALUES // n // 8 * 8, NARROWEST), WIDEST)
    rows = (n, width)
    return Tile(
        np.empty(rows), np.zeros(rows), np.empty(rows, np.bool_), np.empty(rows),
        np.empty(width), np.empty(width), np.empty(width), np.empty(width), np.empty(width),
        np.empty(width), np.empty(width, np.int32), np.empty(width, np.int32),
        np.empty(width, np.uint32), np.empty(width, np.bool_),
    )  # fmt: skip
