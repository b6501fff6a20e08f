"""Clusters that another process can open: their settings as plain values, and back."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from bkgflow.clusters.address import Attached, Connected
from bkgflow.clusters.base import Cluster
from bkgflow.errors import UsageError

__all__ = ["described", "revived"]

Plain = str | int | float | bool | None


def described(cluster: Cluster) -> dict[str, object]:
    """Return a cluster as plain values, for JSON.

    Raises
    ------
    UsageError
        If it is an object of this process that another one cannot have.
    """
    if isinstance(cluster, Attached | Connected):
        thing = cluster.cluster if isinstance(cluster, Attached) else cluster.client
        raise _stays_here(type(thing).__name__, "Give its address: cluster.scheduler_address")
    kind = type(cluster)
    if not is_dataclass(cluster) or kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise _stays_here(
            kind.__name__,
            "Give settings whose class is a dataclass in a module, a word, or an address",
        )
    settings = {each.name: _plain(getattr(cluster, each.name)) for each in fields(cluster)}
    return {"kind": f"{kind.__module__}:{kind.__qualname__}", "settings": settings}


def revived(parts: Mapping[str, object]) -> Cluster:
    """Return the cluster that `described` took apart.

    Raises
    ------
    UsageError
        If there is none any more like it.
    """
    try:
        kind = _named(str(parts["kind"]))
        given = parts["settings"]
        assert isinstance(given, dict)
        made = kind(**{name: _value(value) for name, value in given.items()})  # type: ignore[operator]
    except (KeyError, ImportError, AttributeError, TypeError, AssertionError) as problem:
        raise UsageError(
            "A cluster must be one that this bkgflow has",
            value=f"{parts.get('kind')}: {problem}"[:200],
            cure="Submit the plan anew, with a cluster of this version",
        ) from None
    assert isinstance(made, Cluster)
    return made


def _plain(value: object) -> object:
    if isinstance(value, Plain):
        return value
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(name): _plain(each) for name, each in value.items()}}
    module, name = (getattr(value, each, "") for each in ("__module__", "__qualname__"))
    if callable(value) and module and module != "__main__" and name and "<" not in name:
        return {"named": f"{module}:{name}"}
    raise _stays_here(repr(value)[:100], "Give plain values, or functions of a module")


def _value(value: object) -> object:
    if isinstance(value, list):
        return tuple(_value(each) for each in value)
    if isinstance(value, dict):
        if "mapping" in value:
            return {name: _value(each) for name, each in value["mapping"].items()}
        return _named(str(value["named"]))
    return value


def _named(text: str) -> object:
    module, _, name = text.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _stays_here(what: str, cure: str) -> UsageError:
    return UsageError(
        "A campaign that goes on by itself must have a cluster that its driver can open",
        value=what,
        cure=cure,
    )
