"""One exposure: its background subtracted here and now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bkgflow.arguments import StepArguments, shows_step_arguments
from bkgflow.campaign.progress import notebook_cell, said_in
from bkgflow.campaign.single import compile_for, run_single, writer_for
from bkgflow.io.models import is_model
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import check_writable
from bkgflow.parameters import single
from bkgflow.planning.outputs import Outputs
from bkgflow.planning.single import plan_single
from bkgflow.programs.search_path import SearchPath
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel as Model

__all__ = ["subtract", "subtract_to_file"]


@shows_step_arguments
def subtract(
    target: object,
    bkg_list: object = None,
    *,
    imprints: object = None,
    output_dir: PathLike | None = None,
    references: PathLike | None = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    settings: PathLike | None = None,
    **step_arguments: Unpack[StepArguments],
) -> Model:
    """Subtract the combined background from one exposure.

    Parameters
    ----------
    target : path, data model or association
        The exposure; or an association of one product, a file or a mapping: its background
        members are used, and ``bkg_list`` only if it has none.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures; patterns, ``~`` and ``@FILE`` (a file of lines) as well.
    imprints : sequence of paths or data models, or a comma-separated string
        Imprint (leakage) exposures of NIRSpec IFU and MSA, subtracted from target and
        backgrounds before anything else. A single one is for all; of several, each exposure
        gets the one of its observation and dither position. Those of an association go first.
    output_dir : path, optional
        Where ``save_combined_background`` writes; the current folder by default.
    references : path, optional
        A folder of reference files for slitless and SOSS exposures, matched by their keywords;
        CRDS is asked without one.
    data, confine
        As for `plan`.
    settings : path, optional
        A parameter file of the step (ASDF or .cfg), as strun takes them; arguments that are given
        here go before what it says.
    **step_arguments
        The names and defaults of the reference step (``sigma``, ``maxiters``, ``wfss_maxiter``,
        ``override_bkg``, …): see `bkgflow.settings.StepSettings`.

    Returns
    -------
    JwstDataModel
        A new model of the target's type; ``meta.cal_step.bkg_subtract`` says COMPLETE, SKIPPED
        or FAILED, ``meta.bkgflow`` what was done. The target itself is never changed.

    Raises
    ------
    BkgflowError
        With file, rule, value and cure, if an argument or an input is bad.
    """
    search = SearchPath.of(data, confine)
    planner, bkg_list = single(step_arguments, references, settings, bkg_list, search, writes=False)
    decided = plan_single(target, bkg_list, output_dir or ".", planner, imprints)
    if decided.units[0].companions:
        check_writable(decided.output)
    if (cell := notebook_cell()) is not None:
        compile_for(decided, said_in(cell))
    writer = ModelWriter(target if is_model(target) else None)
    run_single(decided, writer)
    return writer.result


@shows_step_arguments
def subtract_to_file(
    target: PathLike,
    bkg_list: object = None,
    output_dir: PathLike = ".",
    references: PathLike | None = None,
    imprints: object = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    settings: PathLike | None = None,
    format: str = "fits",
    told: Callable[[Verdict], object] = lambda verdict: None,
    **step_arguments: Unpack[StepArguments],
) -> Path | Location:
    """Do `subtract` and write the product, named as the pipeline names it; return its path.

    The format is "fits" or "zarr"; ``told`` is given the verdict: COMPLETE, SKIPPED or FAILED.

    Raises
    ------
    BkgflowError
        As `subtract`; and if the product cannot be written, or would replace an input.
    """
    search = SearchPath.of(data, confine)
    outputs = Outputs.of(format)
    planner, bkg_list = single(
        step_arguments, references, settings, bkg_list, search, writes=True, outputs=outputs
    )
    check_writable(Location.of(output_dir))
    decided = plan_single(target, bkg_list, output_dir, planner, imprints)
    told(run_single(decided, writer_for(decided)))
    if not Location.of(output_dir).is_local:
        return Location.of(output_dir) / decided.units[0].output
    return Path(output_dir) / decided.units[0].output
