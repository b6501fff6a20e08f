"""A combined background subtracted from a target, lazily, as `bkgflow.subtract` does it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from bkgflow.errors import BackgroundError, ShapeError, WindowError
from bkgflow.explore.adjusted import TOLD
from bkgflow.explore.restored import restored
from bkgflow.io.exposures.units import same_unit
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.variances import VARIANCE_TAKERS
from bkgflow.methods import image
from bkgflow.methods.arrays import Places
from bkgflow.settings import STACK_ARGUMENTS

__all__ = ["subtract_background"]

FILL = {"sci": np.float32(np.nan), "err": np.float32(np.nan), "dq": np.uint32(0),
        "n_used": np.uint16(0)}  # fmt: skip
"""Of a background where it has no pixels."""

Arithmetic = Callable[[Plane, Plane, Places], None]


def subtract_background(
    target: xr.Dataset, background: xr.Dataset, *, propagate_errors: bool = False
) -> xr.Dataset:
    """Subtract a combined background from an exposure, lazily.

    The numbers are those of `bkgflow.subtract`, to the bit: a pixel without any valid background
    keeps its value, flags are joined. Both are matched by the detector's pixels, their
    coordinates ``y`` and ``x``; the background may be larger or smaller than the target.

    Parameters
    ----------
    target : Dataset
        ``sci``, ``err``, ``dq``, dims (integration,) y, x: from `open_exposure`, a program's tree,
        or any part of them.
    background : Dataset
        ``sci``, ``err``, ``dq``, ``n_used``, dims y, x, as `combine` gives it.
    propagate_errors : bool
        Whether the background's uncertainty is added to ``err`` in quadrature, and its square to
        ``var_rnoise`` (or else ``var_poisson``) where the target has it.

    Returns
    -------
    Dataset
        As the target, with ``sci``, ``dq`` (and ``err``) changed; besides ``background``
        (float32), ``n_used`` (uint16) and with ``propagate_errors`` ``background_err``, dims y, x,
        on the target's pixels. ``.bkgflow.to_fits`` writes it as a product.

    Raises
    ------
    ShapeError
        If one of the two is something else.
    BackgroundError
        If they are in different units or of different detectors.
    WindowError
        If they have no pixel in common.
    """
    _check("target", target, ("sci", "dq"))
    _check("background", background, ("sci", "err", "dq", "n_used"))
    _check_alike(target, background)
    target = restored(target)
    here = _on(target, restored(background))
    used = here["n_used"]
    changed = {
        "sci": _changed(target["sci"], here["sci"], used, image.subtract_background),
        "dq": _changed(target["dq"], here["dq"], used, _join),
        "background": _kept(here["sci"], target["sci"], "combined background"),
        "n_used": used.assign_attrs(long_name="background exposures kept"),
    }
    if propagate_errors:
        _check("target", target, ("err",))
        changed["err"] = _changed(target["err"], here["err"], used, image.add_errors)
        changed["background_err"] = _kept(here["err"], target["sci"], "its uncertainty")
        takes = next((name for each in VARIANCE_TAKERS if (name := each.lower()) in target), None)
        if takes is not None:
            changed[takes] = _changed(target[takes], here["err"], used, image.add_variances)
    named = (*STACK_ARGUMENTS, "bkg_fill", *TOLD)
    told = {name: background.attrs[name] for name in named if name in background.attrs}
    changed_data = target.assign(changed).assign_coords(bkg_subtract="COMPLETE")
    return changed_data.assign_attrs(
        told,
        backgrounds=background.attrs.get("paths", ""),
        propagate_errors=int(propagate_errors),
    )


def _check(what: str, data: xr.Dataset, names: tuple[str, ...]) -> None:
    allowed = {"y", "x"} if what == "background" else {"integration", "y", "x"}
    missing = [name for name in names if name not in data]
    dims = {str(dim) for name in names if name in data for dim in data[name].dims}
    if missing or not {"y", "x"} <= dims <= allowed or not {"y", "x"} <= set(data.indexes):
        raise ShapeError(
            f"A {what} must have {', '.join(names)} along y and x, with their coordinates",
            value=f"no {', '.join(missing)}" if missing else f"dims {', '.join(sorted(dims))}",
            cure="Give what bkgflow.open_exposure and bkgflow.combine return, or parts of them",
        )


def _check_alike(target: xr.Dataset, background: xr.Dataset) -> None:
    detectors = (str(target.attrs.get("detector", "")), str(background.attrs.get("detector", "")))
    units = [str(each["sci"].attrs.get("units", "")) for each in (target, background)]
    for name, (one, other), alike in (
        ("detector", detectors, detectors[0] == detectors[1]),
        ("unit", units, same_unit(*units)),
    ):
        if one and other and not alike:
            raise BackgroundError(
                f"A background must have its target's {name}",
                value=f"{one} and {other}",
                cure="Combine exposures that belong to the target: open_stack(…, target=…)",
            )


def _on(target: xr.Dataset, background: xr.Dataset) -> xr.Dataset:
    """Return a background on the pixels of a target; where it has none, nothing was used."""
    names = list(FILL)
    here = background[names].reset_coords(drop=True)
    wanted = {"y": target["y"], "x": target["x"]}
    for dim, coordinate in wanted.items():
        if not np.isin(coordinate.values, here[dim].values).any():
            raise WindowError(
                "A background must have pixels of its target",
                value=f"{dim}: {_span(here[dim])} and {_span(coordinate)}",
                cure="Open the stack with target=…, or with the target's window",
            )
    if not all(here.indexes[dim].is_unique for dim in wanted):
        raise ShapeError(
            "A background must have each row and column once",
            value=f"{sum(int(here.indexes[dim].duplicated().sum()) for dim in wanted)} twice",
            cure="Combine one stack of all exposures: bkgflow.open_stack",
        )
    if all(here.indexes[dim].equals(target.indexes[dim]) for dim in wanted):
        return here
    return here.reindex(wanted, fill_value=FILL)


def _span(coordinate: xr.DataArray) -> str:
    return f"{coordinate.values.min()} to {coordinate.values.max()}"


def _changed(
    pixels: xr.DataArray, background: xr.DataArray, used: xr.DataArray, how: Arithmetic
) -> xr.DataArray:
    """Return pixels as the method's arithmetic, which works in place, leaves a copy of them."""

    def change(pixels: Plane, background: Plane, used: Plane) -> Plane:
        out = np.array(pixels)
        how(out, background, np.flatnonzero(used == 0))
        return out

    images = [each.transpose(..., "y", "x") for each in (pixels, background, used)]
    result: xr.DataArray = xr.apply_ufunc(
        change, *images, dask="parallelized", output_dtypes=[pixels.dtype]
    )
    return result.transpose(*pixels.dims).assign_attrs(pixels.attrs)


def _join(dq: Plane, background: Plane, _missing: Places) -> None:
    image.join_flags(dq, background)


def _kept(background: xr.DataArray, target: xr.DataArray, long_name: str) -> xr.DataArray:
    units = {name: target.attrs[name] for name in ("units",) if name in target.attrs}
    return background.assign_attrs(long_name=long_name, **units)
