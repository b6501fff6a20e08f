"""Options that an engine has beside our settings: passed on as they are, if it knows them."""

from __future__ import annotations

import inspect
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module

from bkgflow.errors import SettingsError, UsageError
from bkgflow.texts import how_to_install, nearest

__all__ = [
    "arguments_of",
    "engine_of",
    "given_options",
    "lines_of",
    "refuse_secrets",
    "refuse_unknown",
]

SECRET = re.compile(r"(?i)(password|passwd|secret|token|private_?key|credential)")
"""What the name of something secret has in it."""

SET_IN_SHELL = re.compile(r"(?:export\s+)?(\w+)=(?!\$|[\"']?\$)(?=\S)")
"""A line of a shell script that gives a variable a value, which stands there."""


def engine_of(module: str, extra: str, kind: str = "") -> object:
    """Import the library that starts the workers of a kind of cluster.

    Raises
    ------
    UsageError
        If it is not installed: with the command that does so.
    """
    # dask-jobqueue sets a handler of its own when it is imported: Ctrl-C would end a run at once.
    heeds = signal.getsignal(signal.SIGINT)
    try:
        return import_module(module)
    except ImportError as problem:
        raise UsageError(
            f"A cluster of the kind {kind or extra} must have its library installed",
            value=str(problem),
            cure=f"Install it: {how_to_install(f'bkgflow[{extra}]')}",
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, heeds)


def arguments_of(*calls: Callable[..., object]) -> set[str]:
    """Return the names of all arguments that some functions take."""
    ours = {"self", "args", "kwargs", "job_kwargs", "base_class_kwargs"}
    return {name for each in calls for name in inspect.signature(each).parameters} - ours


def given_options(value: object) -> dict[str, object]:
    """Return options as a profile, Python or the command line gives them.

    Parameters
    ----------
    value : mapping, or iterable of str
        ``KEY=VALUE``, with the value in YAML.

    Raises
    ------
    UsageError
        If one has no value, or a value that is no YAML.
    """
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    import yaml

    found: dict[str, object] = {}
    given: Iterable[object] = () if value is None else (value,)
    if isinstance(value, Iterable) and not isinstance(value, str):
        given = value
    for each in given:
        name, equals, text = str(each).partition("=")
        try:
            found[name.strip()] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):  # a date that is none is a ValueError
            equals = ""
        if not (equals and name.strip()):
            raise UsageError(
                "An option of an engine must be KEY=VALUE, with the value in YAML",
                value=each,
                cure="Give, for example, shebang=/bin/sh, or 'env=[\"A=1\"]'",
            )
    return found


def refuse_unknown(
    kind: str,
    given: Iterable[str],
    known: Collection[str],
    where: str,
    beside: Collection[str] = (),
) -> None:
    """Refuse a setting that a kind of cluster does not have, and say which one is like it.

    Parameters
    ----------
    where : str
        Where all of them are listed.
    beside : collection of str
        Names that may be meant as well, though they have another place.
    """
    for name in given:
        if name not in known:
            close = nearest(name, {*known, *beside})
            raise UsageError(
                f"A setting must be one that a cluster of the kind {kind} has",
                value=name,
                cure=f"Use {close}, or leave it out; {where}"
                if close
                else f"Leave it out; {where}",
            )


def refuse_secrets(*told: object) -> None:
    """Refuse secrets in settings: they would stand in scripts, plans, ledgers and logs.

    Parameters
    ----------
    *told : mappings, sequences and texts, within each other
        Settings by their names, and lines of a shell script.

    Raises
    ------
    UsageError
        If a name is that of a secret, or a line gives a value to a variable of such a name.
    """
    if found := list(_secrets(told)):
        raise UsageError(
            "Settings of a cluster must hold no secrets",
            value=", ".join(found),
            cure="Keep it in the environment of the driver, or in a file that you alone may read, "
            "and have the script source that file",
        )


def _secrets(told: object) -> Iterator[str]:
    """Give the names of what is secret."""
    match told:
        case str():
            names = (each[1] for each in SET_IN_SHELL.finditer(told))
            yield from (name for name in names if SECRET.search(name))
        case Mapping():
            yield from (str(name) for name in told if SECRET.search(str(name)))
            yield from _secrets(tuple(told.values()))
        case Sequence():
            for each in told:
                yield from _secrets(each)


def lines_of(name: str, value: object) -> tuple[str, ...]:
    """Return several lines, which were given as a list, or as one text."""
    if isinstance(value, str):
        return tuple(each for each in value.splitlines() if each.strip())
    if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise SettingsError(
        "Lines of a script must be a list of texts", value=f"{name}={value!r}",
        cure="Put each line into quotes",
    )  # fmt: skip
