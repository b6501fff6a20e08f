"""The first question to a worker: this file is sent as text, and needs nothing but Python.

A worker without bkgflow, or with another Python, can answer it; a function would have to be
unpickled there first.
"""

from __future__ import annotations

__all__ = ["introduce"]


def introduce(version: str, packages: list[str], modules: list[str]) -> dict[str, str]:
    """Return which versions of some packages are here, "python" and "bkgflow" among them.

    Parameters
    ----------
    version : str
        Of bkgflow: where it is another one, none of the modules is imported; empty for any.
    modules : list of str
        What must be importable. The first error is said as "problem".
    """
    import importlib
    import importlib.metadata
    import platform

    said = {"python": platform.python_version()}
    for package in packages:
        try:
            said[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            said[package] = "none"
    try:
        said["bkgflow"] = importlib.import_module("bkgflow.version").VERSION
        for module in modules if version in {"", said["bkgflow"]} else []:
            importlib.import_module(module)
    except Exception as problem:
        said["problem"] = f"{type(problem).__name__}: {problem}"
    return said
