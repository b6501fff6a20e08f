"""How much of a test the fast subset runs: fewer random examples, fewer of many parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

__all__ = ["FAST", "examples", "few_fast"]

FAST = "fast"
"""The Hypothesis profile of ``make test-fast``; any other profile means every example."""

SHARE, LEAST = 20, 5


def examples(number: int) -> int:
    """Return how many random examples to try: ``number``, or a twentieth in the fast subset."""
    if settings.get_current_profile_name() == FAST:
        return min(number, max(LEAST, number // SHARE))
    return number


def few_fast(parameters: Iterable[Any], number: int) -> list[Any]:
    """Mark all but the first ``number`` parameters as slow."""
    marked = []
    for position, each in enumerate(parameters):
        values = each if isinstance(each, tuple) else (each,)
        slow = pytest.mark.slow if position >= number else ()
        marked.append(pytest.param(*values, marks=slow))
    return marked
