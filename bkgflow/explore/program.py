"""A whole program as a tree of lazy exposures: to look for, to look at, to stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

import xarray as xr

from bkgflow.errors import InputError, PlanError, SettingsError
from bkgflow.explore import accessor
from bkgflow.explore.exposure import lazy_exposure
from bkgflow.explore.lazy import DEFAULT_CHUNK
from bkgflow.explore.look import each_inspected
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.lists import expanded
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.tree import walk
from bkgflow.programs.content import names_exposure
from bkgflow.programs.program import Program, load_program
from bkgflow.upaths import as_given
from bkgflow.version import VERSION

__all__ = ["open_program", "select", "table"]

MODELS = {"ImageModel", "CubeModel", "IFUImageModel", "SlitModel", ""}
"""What exposures are saved as; references and segmentation maps are something else."""

SETUP = ("FILTER", "PUPIL", "GRATING", "CHANNEL", "BAND")
"""Of what the name of a group is made, after the detector."""

GROUP = "zarr.json"
"""In the folder of every group and array of zarr."""

NO_VALUE = {"", "N/A", "CLEAR"}

accessor.register()


def open_program(
    program: PathLike | Iterable[PathLike], *, memory: int = DEFAULT_CHUNK
) -> xr.DataTree:
    """Open all exposures of a program lazily, as one tree.

    The exposures are those that associations name and those that lie in the folder, with all
    below it. Headers are read once, pixels when they are used.

    Parameters
    ----------
    program : path or URL, or several
        A folder or a bucket, an association, exposures, patterns.
    memory : int
        Bytes of a row band of an exposure, which is a chunk.

    Returns
    -------
    DataTree
        A group for each detector and its filters (``nrcalong-f277w``), in it a node for each
        exposure (``jw01234001001_02101_00001_nrcalong_rate``) with what `open_exposure` gives
        and the coordinate ``role``: "target", "background", both with a comma (nods), or empty
        where no association names it. ``tree.bkgflow.table()`` lists all of them,
        ``tree.bkgflow.select(filter="F277W", role="background")`` is a tree of some. The
        attribute ``passed_over`` has a line for each file that is no exposure, with the reason.

    Raises
    ------
    PlanError
        If nothing is there, or it holds no exposure.
    """
    program = as_given(program)
    given = [program] if isinstance(program, PathLike) else list(program)
    locations, roles = _exposures(given)
    nodes: dict[str, xr.Dataset] = {}
    passed_over = []
    for location, found in zip(locations, each_inspected(locations), strict=True):
        if isinstance(found, InputError):
            passed_over.append(f"{location.name}: {found.rule}")
        elif found.model not in MODELS or not found.exp_type:
            passed_over.append(f"{location.name}: a {found.model or 'file without DATAMODL'}")
        else:
            role = ", ".join(sorted(roles.get(location, ()), reverse=True))
            nodes[_name(found, nodes)] = lazy_exposure(found, memory, role=role)
    if not nodes:
        raise PlanError(
            "A program must hold exposures",
            value=f"{', '.join(map(str, given))}: {'; '.join(passed_over) or 'no FITS file'}"[:400],
            cure="Give a folder of rate or rateints files, an association, or exposures",
        )
    tree = xr.DataTree.from_dict({name: nodes[name] for name in sorted(nodes)})
    attrs = {"program": "\n".join(map(str, given)), "bkgflow_version": VERSION}
    tree.attrs = {**attrs, "passed_over": "\n".join(passed_over)}
    return tree


def select(tree: xr.DataTree, wanted: Mapping[str, object]) -> xr.DataTree:
    """Return the exposures of a tree whose coordinates are as wanted.

    Parameters
    ----------
    wanted : mapping
        By the name of a coordinate: a value, a pattern (``"F2*"``), a list of these, or a function
        of the value that says whether it is wanted. Letters may be small or large. Of ``role``, a
        part will do.

    Raises
    ------
    SettingsError
        If no exposure of the tree has such a coordinate, or none is as wanted.
    """
    leaves = _exposures_of(tree)
    for name in wanted:
        if not any(name in each.coords for each in leaves):
            known = sorted({c for each in leaves for c in _scalars(each)})
            raise SettingsError(
                "An exposure must be selected by a coordinate that it has",
                value=name,
                cure=f"Use one of {', '.join(known)}",
            )
    chosen = [
        each
        for each in leaves
        if all(
            name in each.coords and _fits(each.coords[name], asked, name)
            for name, asked in wanted.items()
        )
    ]
    if not chosen:
        said = ", ".join(f"{name}={asked!r}" for name, asked in wanted.items())
        raise SettingsError(
            "At least one exposure must be as it is wanted",
            value=f"none of {len(leaves)} has {said}",
            cure="Look at the tree's table: tree.bkgflow.table()",
        )
    top = tree.path
    found = {each.path.removeprefix(top).lstrip("/"): each.to_dataset() for each in chosen}
    selected = xr.DataTree.from_dict(found)
    selected.attrs = dict(tree.attrs)
    return selected


def _fits(coordinate: xr.DataArray, asked: object, name: str) -> bool:
    value = coordinate.values[()]
    if callable(asked):
        return bool(asked(value))
    if isinstance(asked, list | tuple | set):
        return any(_fits(coordinate, each, name) for each in asked)
    if not isinstance(asked, str) or coordinate.dtype.kind != "U":
        return bool(value == asked)
    words = str(value).split(", ") if name == "role" else [str(value)]
    return any(fnmatchcase(word.upper(), asked.upper()) for word in words)


def _exposures(given: list[PathLike]) -> tuple[list[Location], dict[Location, set[str]]]:
    """Return all files that may be exposures, and what associations take them for."""
    found: dict[Location, None] = {}
    roles: dict[Location, set[str]] = {}
    for each in given:
        for item in map(Location.of, expanded(str(each))):
            if names_exposure(item):
                found[item] = None
                continue
            program = _associations(item)
            for location, role in _members(program):
                found[location] = None
                roles.setdefault(location, set()).add(role)
            if item.is_dir():
                found |= dict.fromkeys(_below(item))
    return list(found), roles


def _below(folder: Location) -> Iterator[Location]:
    """Yield what may be an exposure in a folder and below: FITS files, groups of zarr with SCI."""
    tree = walk(folder)
    yield from filter(names_exposure, tree.files())
    for name, files in tree.folders.items():
        if GROUP in files and GROUP in tree.folders.get(f"{name}/sci", ()):
            yield Location(name)


def _associations(item: Location) -> Program:
    """Return what associations ask for; nothing where a folder holds none."""
    try:
        return load_program(str(item))
    except PlanError:
        if not _is_there(item):
            raise
        return Program()


def _is_there(item: Location) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _members(program: Program) -> Iterator[tuple[Location, str]]:
    for association in program.associations:
        for product in association.products:
            yield product.science, "target"
            yield from ((each, "background") for each in product.backgrounds)


def _name(facts: ExposureFacts, taken: Mapping[str, object]) -> str:
    """Return the path of an exposure's node, which no other one has."""
    # NIRCam's channel is in the name of its detectors.
    names = [each for each in SETUP if each != "CHANNEL" or facts.instrument == "MIRI"]
    said = [facts.keyword(each) for each in names]
    setup = "-".join(word for word in (facts.detector, *said) if word.upper() not in NO_VALUE)
    stem = facts.name.split(".")[0]
    name = wanted = f"{setup.lower().replace('/', '_') or 'other'}/{stem}"
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}~{number}"
    return name


def table(tree: xr.DataTree) -> dict[str, list[object]]:
    """Return the scalar coordinates of all exposures of a tree: a column each, by its name."""
    leaves = _exposures_of(tree)
    scalars = [_scalars(each) for each in leaves]
    names = dict.fromkeys(name for each in scalars for name in each)
    columns: dict[str, list[object]] = {"node": [each.path for each in leaves]}
    return columns | {name: [each.get(name) for each in scalars] for name in names}


def _exposures_of(tree: xr.DataTree) -> list[xr.DataTree]:
    return [each for each in tree.leaves if "path" in each.attrs]


def _scalars(node: xr.DataTree) -> dict[str, object]:
    """Return the values of the coordinates that are one for the whole exposure."""
    return {str(c): each.values[()] for c, each in node.variables.items() if not each.dims}
