"""The one facade: what a notebook, a script or the command line calls."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bkgflow.api.answers import (
        clean,
        diff,
        explain,
        export,
        list_campaigns,
        rebuild,
        verify,
    )
    from bkgflow.api.associations import associate
    from bkgflow.api.campaigns import submit
    from bkgflow.api.clusters import check_cluster, list_clusters, show_cluster
    from bkgflow.api.programs import choices, plan, run
    from bkgflow.api.shown import draw, show
    from bkgflow.api.single import subtract, subtract_to_file
    from bkgflow.api.stores import export_fits

__all__ = [
    "associate",
    "check_cluster",
    "choices",
    "clean",
    "diff",
    "draw",
    "explain",
    "export",
    "export_fits",
    "list_campaigns",
    "list_clusters",
    "plan",
    "rebuild",
    "run",
    "show",
    "show_cluster",
    "submit",
    "subtract",
    "subtract_to_file",
    "verify",
]

_HOME = {
    "associate": "associations",
    "check_cluster": "clusters",
    "choices": "programs",
    "clean": "answers",
    "diff": "answers",
    "draw": "shown",
    "explain": "answers",
    "export": "answers",
    "export_fits": "stores",
    "list_campaigns": "answers",
    "list_clusters": "clusters",
    "plan": "programs",
    "rebuild": "answers",
    "run": "programs",
    "show": "shown",
    "show_cluster": "clusters",
    "submit": "campaigns",
    "subtract": "single",
    "subtract_to_file": "single",
    "verify": "answers",
}
"""Where each is at home: one exposure is subtracted without the libraries of a campaign."""


def __getattr__(name: str) -> object:
    """Import a function when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'bkgflow.api' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bkgflow.api.{_HOME[name]}"), name)
