"""How much of a test is run: how many random examples, and how many of many parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

__all__ = ["EVERY", "FAST", "examples", "few_fast"]

FAST, EVERY = "fast", "every"
"""Hypothesis profiles: that of ``make test-fast``, and one for every example."""

SHARES, LEAST = {FAST: 20, EVERY: 1}, 5


def examples(number: int) -> int:
    """Return how many random examples to try, of a number that leaves little to chance.

    Half of them: every run draws others. A twentieth in the fast subset, and all with
    ``--hypothesis-profile every``.
    """
    share = SHARES.get(settings.get_current_profile_name(), 2)
    return min(number, max(LEAST, number // share))


def few_fast(parameters: Iterable[Any], number: int) -> list[Any]:
    """Mark all but the first ``number`` parameters as slow."""
    marked = []
    for position, each in enumerate(parameters):
        values = each if isinstance(each, tuple) else (each,)
        slow = pytest.mark.slow if position >= number else ()
        marked.append(pytest.param(*values, marks=slow))
    return marked
