"""Pictures of exposures, stacks and results: for notebooks, the demo, and reports.

Each returns a matplotlib Figure, which a notebook shows by itself; with ``ax`` it draws there and
returns that. matplotlib is imported when the first one is drawn.
"""

from __future__ import annotations

from bkgflow.plot.clipped import clip
from bkgflow.plot.images import exposure, mask, stack
from bkgflow.plot.products import residual, slitless, soss

__all__ = ["clip", "exposure", "mask", "residual", "slitless", "soss", "stack"]
