"""The first question to a worker: this file is sent as text, and needs nothing but Python.

A worker without bkgflow, or with another Python, can answer it; a function would have to be
unpickled there first.
"""

from __future__ import annotations

__all__ = ["introduce"]


def introduce(
    version: str, packages: list[str], modules: list[str], errand: bytes = b""
) -> tuple[dict[str, str], object]:
    """Return which versions of some packages are here, "python" and "bkgflow" among them.

    Parameters
    ----------
    version : str
        Of bkgflow: where it is another one, none of the modules is imported; empty for any.
    modules : list of str
        What must be importable. The first error is said as "problem".
    errand : bytes
        A function without arguments, pickled: called where nothing is wrong so far. What it
        returns comes second; else that is None.
    """
    import importlib
    import importlib.metadata
    import pickle
    import platform

    said = {"python": platform.python_version()}
    ask = importlib.metadata.version
    try:
        own = importlib.import_module("bkgflow.version")
        said["bkgflow"] = own.VERSION
        ask = getattr(own, "installed", ask)  # which remembers what it found
        for module in modules if version in {"", own.VERSION} else []:
            importlib.import_module(module)
    except Exception as problem:
        said["problem"] = f"{type(problem).__name__}: {problem}"
    for package in packages:
        try:
            said[package] = ask(package)
        except importlib.metadata.PackageNotFoundError:
            said[package] = "none"
    well = "problem" not in said and version in {"", said["bkgflow"]}
    return said, pickle.loads(errand)() if errand and well else None
