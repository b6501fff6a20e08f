"""Background subtraction for whole JWST programs, as dask task graphs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bkgflow.version import VERSION

if TYPE_CHECKING:
    from bkgflow.api import combine, open_exposure, open_stack, plan, run, show, subtract
    from bkgflow.campaign.result import RunResult
    from bkgflow.detector import Window
    from bkgflow.errors import BkgflowError
    from bkgflow.outcome import Outcome
    from bkgflow.planning.plan import Plan

__version__ = VERSION

__all__ = [
    "BkgflowError",
    "Outcome",
    "Plan",
    "RunResult",
    "Window",
    "__version__",
    "combine",
    "open_exposure",
    "open_stack",
    "plan",
    "run",
    "show",
    "subtract",
]

_HOME = {
    "BkgflowError": "bkgflow.errors",
    "Outcome": "bkgflow.outcome",
    "Plan": "bkgflow.planning.plan",
    "RunResult": "bkgflow.campaign.result",
    "Window": "bkgflow.detector",
    "combine": "bkgflow.api",
    "open_exposure": "bkgflow.api",
    "open_stack": "bkgflow.api",
    "plan": "bkgflow.api",
    "run": "bkgflow.api",
    "show": "bkgflow.api",
    "subtract": "bkgflow.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for; ``import bkgflow`` itself stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'bkgflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
