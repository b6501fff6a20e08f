"""Background subtraction for whole JWST programs, as dask task graphs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bkgflow import version as _version

if TYPE_CHECKING:
    from bkgflow import plot
    from bkgflow.api import (
        associate,
        choices,
        clean,
        diff,
        draw,
        explain,
        export,
        export_fits,
        list_campaigns,
        plan,
        rebuild,
        run,
        show,
        submit,
        subtract,
        verify,
    )
    from bkgflow.campaign.campaign import Campaign
    from bkgflow.campaign.result import RunResult
    from bkgflow.detector import Window
    from bkgflow.errors import BkgflowError
    from bkgflow.explore.exposure import open_exposure
    from bkgflow.explore.program import open_program
    from bkgflow.explore.rejected import rejected
    from bkgflow.explore.stack import combine, open_stack
    from bkgflow.explore.subtract import subtract_background
    from bkgflow.planning.plan import Plan
    from bkgflow.verdict import State, Verdict

__version__ = _version.VERSION

__all__ = [
    "BkgflowError",
    "Campaign",
    "Plan",
    "RunResult",
    "State",
    "Verdict",
    "Window",
    "__version__",
    "associate",
    "choices",
    "clean",
    "combine",
    "diff",
    "draw",
    "explain",
    "export",
    "export_fits",
    "list_campaigns",
    "open_exposure",
    "open_program",
    "open_stack",
    "plan",
    "plot",
    "rebuild",
    "rejected",
    "run",
    "show",
    "submit",
    "subtract",
    "subtract_background",
    "verify",
]

_HOME = {
    "BkgflowError": "bkgflow.errors",
    "Campaign": "bkgflow.campaign.campaign",
    "Plan": "bkgflow.planning.plan",
    "RunResult": "bkgflow.campaign.result",
    "State": "bkgflow.verdict",
    "Verdict": "bkgflow.verdict",
    "Window": "bkgflow.detector",
    "combine": "bkgflow.explore.stack",
    "open_exposure": "bkgflow.explore.exposure",
    "open_program": "bkgflow.explore.program",
    "open_stack": "bkgflow.explore.stack",
    "rejected": "bkgflow.explore.rejected",
    "subtract_background": "bkgflow.explore.subtract",
}
"""Where a name is at home that is not the facade's."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for; ``import bkgflow`` itself stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'bkgflow' has no attribute {name!r}")
    if name == "plot":
        return importlib.import_module("bkgflow.plot")
    return getattr(importlib.import_module(_HOME.get(name, "bkgflow.api")), name)


def __dir__() -> list[str]:
    return __all__
