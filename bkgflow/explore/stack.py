"""Stacks of exposures as lazy xarray Datasets, and the clip as a transform of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Unpack

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.arguments import (
    FilledArguments,
    MaskArguments,
    shows_filled_arguments,
    shows_mask_arguments,
)
from bkgflow.detector import Window, enclosing
from bkgflow.errors import SettingsError, WindowError
from bkgflow.explore import accessor
from bkgflow.explore.adjusted import adjusted, adjusting, change, hidden
from bkgflow.explore.described import described, named
from bkgflow.explore.lazy import DEFAULT_CHUNK, DTYPES, banded, read_one, with_units
from bkgflow.explore.look import inspect_all
from bkgflow.explore.restored import restored
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.source import Layer, Pixels, Source
from bkgflow.io.products.writer import Plane
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.kinds.backgrounds import check_together
from bkgflow.kinds.fill import without_gaps
from bkgflow.kinds.imprints import imprint_of, without_imprint
from bkgflow.methods import clip
from bkgflow.rules import StackRule
from bkgflow.settings import STACK_ARGUMENTS, StepSettings
from bkgflow.upaths import as_given

__all__ = ["Chosen", "combine", "locations_of", "open_stack", "said_of"]

accessor.register()

Chosen = PathLike | xr.Dataset | xr.DataTree | Iterable[PathLike | xr.Dataset]
"""Exposures as people have them at hand."""


@shows_mask_arguments
def open_stack(
    paths: Chosen,
    window: Window | None = None,
    *,
    memory: int = DEFAULT_CHUNK,
    target: PathLike | None = None,
    allow_mismatch: str | Iterable[str] = (),
    allow_subtracted: bool = False,
    imprints: PathLike | Iterable[PathLike] = (),
    **arguments: Unpack[MaskArguments],
) -> xr.Dataset:
    """Open background exposures as one lazy stack, registered on the detector.

    Parameters
    ----------
    paths : paths, Datasets, or a DataTree
        The exposures: by their paths or URLs, as `open_exposure` opened them, or what was selected
        of a tree (`open_program`). They are read from their files: what was done to Datasets is
        not in the stack. Images, cubes, full frames and subarrays may be mixed.
    window : Window, optional
        The part of the detector wanted; by default the smallest that holds all exposures.
        Where an exposure has no pixels, SCI and ERR are NaN and DQ is 0.
    memory : int
        Bytes of a row band of all exposures; bands are the chunks, and all exposures and
        integrations of a band are in one.
    target : path, optional
        The exposure from which they are to be subtracted: they must belong to it, and its window
        is the default. Without one, they must belong together (docs/backgrounds.md).
    allow_mismatch : str or list of str
        Keywords in which exposures may differ, such as "filter,bunit".
    allow_subtracted : bool
        Whether to take exposures from which a background was subtracted before.
    imprints : path or sequence of paths
        Imprint (leakage) exposures of NIRSpec IFU and MSA, subtracted as `bkgflow.subtract` does
        it: each exposure's own first. Without any, the exposures are as they are in their files.
    **arguments
        Of the step (docs/masks.md). With ``mask_sources`` (``mask_threshold``, ``mask_smooth``,
        ``mask_grow``) there is a variable ``mask`` (exposure, y, x), bool, True where `combine`
        takes no value; it may be changed before. With ``bkg_scale`` (``bkg_scale_map``),
        ``scale_offset`` and ``scale_factor`` (exposure, region), float64, are what `combine`
        changes levels by, to those of ``target``.

    Returns
    -------
    Dataset
        ``sci``, ``err`` float32 and ``dq`` uint32, dims exposure, (integration,) y, x. Where
        the exposures differ in integrations, missing ones are NaN; the coordinate
        ``n_integrations`` says how many are real (0 for an image), others how each exposure was
        taken (filter, target, time, …). The attribute ``paths`` has a line for each exposure.

    Raises
    ------
    SettingsError
        If there is no path at all, or no such keyword is compared.
    InputError
        If a file is bad.
    BackgroundError
        If exposures do not belong to the target, or together; if one of them is there under two
        names, or had a background subtracted before.
    WindowError
        If the window holds no pixel of any exposure.
    """
    locations = locations_of(paths)
    if not locations:
        raise SettingsError(
            "A stack must have at least one exposure", value="none", cure="Give one or more paths"
        )
    facts = inspect_all(locations)
    wanted = None if target is None else inspect(target)
    settings = StepSettings.of(
        allow_mismatch=allow_mismatch, allow_subtracted=allow_subtracted, **arguments
    )
    check_together(facts, wanted, settings)
    if window is None:
        window = wanted.window if wanted else enclosing([each.window for each in facts])
    if not any(each.window.overlap(window) for each in facts):
        raise WindowError(
            "The window of a stack must hold pixels of at least one exposure",
            value=f"{window}; the exposures cover {enclosing([f.window for f in facts])}",
            cure="Give a window that overlaps them, or none",
        )
    integrations = max(each.n_integrations or 0 for each in facts)
    depth = {"exposure": len(facts)} | ({"integration": integrations} if integrations else {})
    both = facts if wanted is None else [*facts, wanted]
    first = _imprints_of(both, imprints, window)
    leakage = first[: len(facts)]
    read = partial(
        _read_stack,
        [each.source for each in facts],
        [each.source if each else None for each in leakage],
        integrations,
    )
    data = described(banded(read, window, depth, memory), facts, leakage)
    return adjusting(data, facts, first, wanted, settings)


def locations_of(chosen: Chosen) -> list[Location]:
    """Return where exposures are that were chosen one way or another.

    Raises
    ------
    SettingsError
        If a Dataset does not say from which exposure it is.
    """
    if isinstance(chosen, xr.DataTree):
        chosen = [each.to_dataset() for each in chosen.leaves if "path" in each.attrs]
    chosen = as_given(chosen)
    if isinstance(chosen, xr.Dataset | PathLike):
        chosen = [chosen]
    return [Location.of(_path(each) if isinstance(each, xr.Dataset) else each) for each in chosen]


def _path(data: xr.Dataset) -> str:
    found = data.attrs.get("path")
    if not isinstance(found, str):
        raise SettingsError(
            "A Dataset must be one exposure, as open_exposure gives it",
            value=f"no attribute path, variables {', '.join(map(str, data.data_vars))}"[:200],
            cure="Give the paths of the exposures; stacks and combined backgrounds are none",
        )
    return found


@shows_filled_arguments
def combine(stack: xr.Dataset, **arguments: Unpack[FilledArguments]) -> xr.Dataset:
    """Clip and average a stack into one background, lazily.

    Integrations are clipped within each exposure first, then the exposures against each other.
    A thin wrapper over `bkgflow.methods.clip`.

    Parameters
    ----------
    stack : Dataset
        As `open_stack` gives it: ``sci``, ``err``, ``dq``; dims exposure, (integration,) y, x.
    **arguments
        Of the step: ``sigma``, ``maxiters``, ``clip``, ``clip_side``, ``combine``, ``bkg_weights``,
        ``bkg_bad_bits``, ``bkg_good_bits``, ``bkg_dq``; and ``bkg_fill``, for which the frame must
        be whole (docs/stacks.md).

    Returns
    -------
    Dataset
        ``sci`` and ``err`` (its uncertainty) float32, NaN where there is nothing
        to average; ``dq`` uint32; ``n_used`` uint16, exposures kept. Dims y, x.

    Raises
    ------
    SettingsError
        If an argument is out of bounds, or the exposure times that it asks for are not there.
    ShapeError
        If ``dq`` or ``mask`` hold no whole numbers.
    """
    settings, stack = StepSettings.of(**arguments), restored(stack)
    core = [dim for dim in ("exposure", "integration") if dim in stack.dims]
    whole = stack.chunk(dict.fromkeys(core, -1)) if stack.chunks else stack
    times = _times(whole) if settings.stack_rule.needs_times else None
    more, dims, names = change(whole)
    combined = _applied(
        partial(_combine_last_axes, settings.stack_rule, times, names),
        [*(whole[name] for name in ("sci", "err", "dq")), *more],
        [*[core] * 3, *dims],
    )
    if settings.bkg_fill:
        one = combined.chunk({"y": -1, "x": -1}) if combined.chunks else combined
        combined = _applied(_fill, list(one.data_vars.values()), [["y", "x"]] * 4, ["y", "x"])
    combined = combined.transpose("y", "x")
    combined.attrs = {**stack.attrs, **named(stack), **said_of(settings)}
    combined["n_used"].attrs = {"long_name": "exposures kept"}
    return with_units(combined, stack["sci"].attrs.get("units", ""))


def _applied(
    function: Callable[..., tuple[NDArray[np.generic], ...]],
    arrays: Sequence[xr.DataArray],
    core: Sequence[Sequence[str]],
    core_left: Sequence[str] = (),
) -> xr.Dataset:
    """Return SCI, ERR, DQ and the number of used exposures as a function gives them."""
    results = xr.apply_ufunc(
        function,
        *arrays,
        input_core_dims=core,
        output_core_dims=[core_left] * 4,
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint32, np.uint16],
    )
    return xr.Dataset(dict(zip(("sci", "err", "dq", "n_used"), results, strict=True)))


def said_of(settings: StepSettings) -> dict[str, object]:
    """Return the arguments of a combined background as attributes; rare ones where they are set."""
    said = settings.only((*STACK_ARGUMENTS, "bkg_fill"))
    # 0 means what None means, and can be written to netCDF and zarr; so can numbers for yes.
    said["maxiters"] = settings.maxiters or 0
    return {name: int(each) if isinstance(each, bool) else each for name, each in said.items()}


def _times(stack: xr.Dataset) -> tuple[float, ...] | None:
    """Return how long the exposures of a stack were; integrations are of one length."""
    if "exposure" not in stack.dims:
        return (1.0,) * stack.sizes["integration"]
    if "exposure_time" not in stack.coords:
        return None
    return tuple(stack["exposure_time"].values.tolist())


def _combine_last_axes(
    rule: StackRule,
    exptime: Sequence[float] | None,
    names: Sequence[str],
    sci: Plane,
    err: Plane,
    dq: Plane,
    *more: Plane,
) -> tuple[NDArray[np.generic], ...]:
    """Combine arrays whose last axes are the exposures and their integrations."""
    sci, err, dq = (
        np.ascontiguousarray(np.moveaxis(array, (0, 1), (-2, -1))) for array in (sci, err, dq)
    )
    sci = hidden(sci, names, more)
    if sci.ndim == 4:
        means = [clip.collapse(*exposure, rule=rule) for exposure in zip(sci, err, dq, strict=True)]
        sci, err, dq = (np.stack([getattr(mean, layer) for mean in means]) for layer in DTYPES)
        rule = rule.of_means
    values, errors = adjusted(sci, err, names, more)
    out = clip.combine(values, errors, dq, rule, exptime=exptime)
    return out.sci, out.err, out.dq, out.n_used


def _fill(sci: Plane, err: Plane, dq: Plane, n_used: Plane) -> tuple[NDArray[np.generic], ...]:
    out = without_gaps(clip.Combined(sci, err, dq, n_used))
    return out.sci, out.err, out.dq, out.n_used


def _imprints_of(
    facts: Sequence[ExposureFacts], imprints: PathLike | Iterable[PathLike], window: Window
) -> list[ExposureFacts | None]:
    """Return the imprint of each exposure of a stack; None where it has none, or had it."""
    imprints = as_given(imprints)
    given = [imprints] if isinstance(imprints, PathLike) else list(imprints)
    leakage = [inspect(each) for each in given]
    return [imprint_of(each, leakage, window) if leakage else None for each in facts]


def _read_stack(
    sources: Sequence[Source],
    imprints: Sequence[Source | None],
    integrations: int,
    layer: Layer,
    band: Window,
) -> Pixels:
    missing = 0 if layer == "dq" else np.nan
    depth = (integrations,) if integrations else ()
    out = np.full((len(sources), *depth, *band.shape), missing, DTYPES[layer])
    for source, imprint, plane in zip(sources, imprints, out, strict=True):
        one = read_one(source, layer, band)
        if imprint is not None:
            without_imprint(one, read_one(imprint, layer, band), layer)
        if integrations:
            plane[: source.n_integrations or 1] = one
        else:
            plane[...] = one
    return out
