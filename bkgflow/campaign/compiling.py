"""What is compiled before a run begins, so that its tasks find it done."""

from __future__ import annotations

from collections.abc import Callable

from bkgflow.kinds.warm import KINDS, warm_up
from bkgflow.planning.plan import Plan

__all__ = ["compile_for"]


def compile_for(plan: Plan, say: Callable[[str], object]) -> None:
    """Compile the kernels of a plan's units, unless that was done before on this machine.

    Parameters
    ----------
    plan : Plan
        What will be run by processes of this machine.
    say : callable
        Gets a sentence before anything that takes long.
    """
    wanted = {unit.kind for unit in plan.units if unit.verdict.to_do}
    warm_up([kind for kind in KINDS if kind in wanted], say)
