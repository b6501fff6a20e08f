"""What a clip would reject of a stack, lazily: for people who choose its settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.arguments import StackArguments, shows_stack_arguments
from bkgflow.errors import ShapeError
from bkgflow.explore.adjusted import adjusted, change, hidden
from bkgflow.explore.restored import restored
from bkgflow.explore.stack import said_of
from bkgflow.io.products.writer import Plane
from bkgflow.methods import clip
from bkgflow.rules import StackRule
from bkgflow.settings import StepSettings

__all__ = ["rejected"]


@shows_stack_arguments
def rejected(stack: xr.Dataset, **arguments: Unpack[StackArguments]) -> xr.DataArray:
    """Say which values of a stack `combine` clips, lazily.

    Parameters
    ----------
    stack : Dataset
        As for `combine`; of cubes, the clipped means of their integrations are what is rejected.
    **arguments
        As for `combine`.

    Returns
    -------
    DataArray
        bool, dims exposure (or integration, of a cube alone), y, x. What takes no part is not
        rejected: what is not valid, is flagged with bad bits, or has no ERR where the rule needs
        it. Its sum along the first and ``n_used`` add up to the values that take part.

    Raises
    ------
    SettingsError
        If an argument is out of bounds.
    ShapeError
        If this is no stack.
    """
    settings = StepSettings.of(**arguments)
    rule = settings.stack_rule
    core = [dim for dim in ("exposure", "integration") if dim in stack["sci"].dims]
    if not core:
        raise ShapeError(
            "A stack must have exposures or integrations",
            value=f"dims {', '.join(map(str, stack['sci'].dims))}",
            cure="Open one with bkgflow.open_stack",
        )
    stack = restored(stack)
    whole = stack.chunk(dict.fromkeys(core, -1)) if stack.chunks else stack
    layers = ("sci", "err", "dq") if rule.needs_errors else ("sci", "dq")
    more, dims, names = change(whole)
    found: xr.DataArray = xr.apply_ufunc(
        partial(_rejected, rule, names),
        *(whole[layer] for layer in layers),
        *more,
        input_core_dims=[*[core] * len(layers), *dims],
        output_core_dims=[core[:1]],
        dask="parallelized",
        output_dtypes=[bool],
    )
    found = found.transpose(core[0], "y", "x").rename("rejected")
    # Not the stack's own: what is rejected has no unit.
    found.attrs = {"long_name": "rejected by the clip", **said_of(settings)}
    return found


def _rejected(
    rule: StackRule, names: Sequence[str], sci: Plane, *others: Plane
) -> NDArray[np.bool_]:
    """Reject along the last axes, which are the exposures and their integrations."""
    number = sci.ndim - 2
    layers = (sci, *others[: len(others) - len(names)])
    moved = [np.moveaxis(each, range(-number, 0), range(number)) for each in layers]
    first, *others_first = map(np.ascontiguousarray, moved)
    err, dq = others_first if len(others_first) == 2 else (None, others_first[0])
    first = hidden(first, names, others[len(others) - len(names) :])
    if number == 2:
        means = [
            clip.collapse(first[i], None if err is None else err[i], dq[i], rule)
            for i in range(len(first))
        ]
        first, dq = (np.stack([getattr(mean, name) for mean in means]) for name in ("sci", "dq"))
        err = None if err is None else np.stack([mean.err for mean in means])
        rule = rule.of_means
    first, err = adjusted(first, err, names, others[len(others) - len(names) :])
    return np.moveaxis(clip.rejected(first, rule, err, dq), 0, -1)
