"""Words that every room needs: numbers with their nouns, URLs that may be repeated, and more."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import TextIO

__all__ = [
    "columns_of",
    "has_password",
    "how_to_install",
    "listed",
    "many",
    "nearest",
    "without_password",
    "wrapped",
]

LEAST = 40
"""Columns: with fewer, every line would be a word."""

MOST = 3
"""Names in a sentence; the others are counted."""

URL = re.compile(r"\s*(--[\w-]+=)?[A-Za-z][A-Za-z0-9+.-]*://")
"""How a word begins that is a URL, or an option with one: it may have blanks in it."""

IN_URL = re.compile(r"(?<=://)([^:/?#@]*):[^/?#]*@")
IN_TEXT = re.compile(r"(?<=://)([^\s:/?#@]*):[^\s/?#]*@")
"""A user and a password: these end with the last ``@`` before the path, as servers read it."""


def many(number: int, noun: str, nouns: str = "") -> str:
    """Write a number with its noun: "1 unit", "2 units", "3,000 units"."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def listed(names: Iterable[str], most: int = MOST) -> str:
    """Write names with commas; of more than the most, the first ones and how many are left."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def has_password(url: str) -> bool:
    """Whether a URL has a password in it."""
    return without_password(url) != url


def without_password(text: str) -> str:
    """Return a text without the passwords of the URLs in it; the users' names stay."""
    if "://" not in text:
        return text
    pattern = IN_URL if URL.match(text) else IN_TEXT
    return pattern.sub(lambda found: f"{found[1]}@" if found[1] else "", text)


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that a wrong one is most like; empty where none is."""
    return next(iter(get_close_matches(name, known, n=1)), "")


def _installer() -> str:
    """Return what installed bkgflow: "pip", "uv", or nothing where that is not known."""
    try:
        return (distribution("bkgflow").read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        return ""


def how_to_install(
    package: str,
    *,
    has: Callable[[str], object] = find_spec,
    installer: Callable[[], str] = _installer,
    python: str = sys.executable,
    base: str = getattr(sys, "_base_executable", "python3"),
) -> str:
    """Return a command that installs a package where bkgflow runs.

    It names the interpreter, so that no other environment gets the package. An environment may
    have been made without pip, as the one of ``make``: then uv does it, or the pip of another
    Python.
    """
    here, what = shlex.quote(python), shlex.quote(package)
    if has("pip"):
        return f"{here} -m pip install {what}"
    if installer() == "uv":
        return f"uv pip install --python {here} {what}"
    return f"{shlex.quote(base)} -m pip --python {here} install {what}"


def columns_of(stream: TextIO) -> int | None:
    """Return how many columns a terminal has; None in a pipe, whose lines have any length."""
    return max(shutil.get_terminal_size().columns, LEAST) if stream.isatty() else None


def wrapped(text: str, width: int | None, indent: str = "") -> str:
    """Break a text into lines of a width between its words; no path or name is broken."""
    if width is None:
        return indent + text
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
