"""What was typed, in the words of a command's own parser: other spellings, repeated options.

strun's users write ``--save_combined_background=true``, ``--maxiters=None`` and options that
belong to every step; those mean here what they mean there, or are refused with what bkgflow has
instead (`bkgflow.strun`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from typer.core import TyperCommand

from bkgflow.cli.given import UNSET
from bkgflow.errors import UsageError
from bkgflow.strun import FALSE, NONE, STEP_NAMES, TRUE, foreign, refused

__all__ = ["Command", "Narrow", "spelled"]

ALIASES = {"output-dir": "output", "output": "output-dir", "config-file": "settings"}
"""Options that are called otherwise by other commands, or by strun."""

OF_A_STEP = "steps."
"""How strun's users begin an option of one step of a pipeline."""


@cache
def _may_be_none() -> set[str]:
    """What strun's users leave out by writing None."""
    from bkgflow.settings import StepSettings  # whoever asks for help need not wait for it

    fields = StepSettings.model_fields.items()
    own = {name for name, field in fields if field.default is None}
    return own | {"soss_bkg_percentile", "bkg_list", "imprints", "output_dir"}


class Narrow:
    """Help in 80 columns: a flag has no value, so that nothing need stand for it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, that of the help among them."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in found:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return found


class Command(Narrow, TyperCommand):
    """A command that takes strun's spellings, and every option once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was typed."""
        options = {
            name.lstrip("-"): parameter
            for parameter in self.params
            for name in (*parameter.opts, *parameter.secondary_opts)
            if parameter.param_type_name == "option"
        }
        words, unset = spelled(args, options)
        ctx.meta[UNSET] = unset
        return super().parse_args(ctx, words)


@dataclass(frozen=True)
class _Typed:
    """An option as it was typed: its name as we write it, and its value, if it had one."""

    name: str
    value: str | None
    following: str | None
    """What stands behind it."""

    def the_value(self) -> tuple[str, int]:
        """Return the value, and how many more words it took."""
        return (self.value, 0) if self.value is not None else (self.following or "", 1)


def spelled(
    words: Sequence[str], options: Mapping[str, Any]
) -> tuple[list[str], dict[str, object]]:
    """Return what was typed as the parser of a command takes it.

    The parser knows no way to write None, or no: options of which this was said are returned
    beside it, by the names of their parameters.

    Parameters
    ----------
    words : sequence of str
        All that stands behind the command.
    options : mapping
        The command's own options by their names without hyphens in front.

    Raises
    ------
    UsageError
        If an option that takes one value is given several times.
    SettingsError
        If an option is one of strun's that bkgflow has not.
    """
    given: list[str] = []
    unset: dict[str, object] = {}
    values: dict[str, list[str]] = defaultdict(list)
    words, i = list(words), 0
    while i < len(words):
        word, i = words[i], i + 1
        if word == "--":
            given += words[i - 1 :]
            break
        if not word.startswith("--"):
            given.append(word)
            continue
        following = words[i] if i < len(words) else None
        typed = _typed(word, following, options)
        taken, used = _option(typed, word, options)
        i += used
        given += taken
        if (own := options.get(typed.name)) is not None:
            unset.pop(own.name, None)  # of a flag, and where several may be given, the last counts
            if not taken:
                unset[own.name] = False if own.is_flag else None
                values[typed.name].append("false" if own.is_flag else NONE)
        for each in taken:
            name, _, value = each.removeprefix("--").partition("=")
            values[name].append(value)
    for name, several in values.items():
        own = options.get(name)
        if len(several) > 1 and own is not None and not (own.is_flag or own.multiple):
            raise UsageError(
                f"--{name} must be given once",
                value=" and ".join(several),
                cure="Keep the one that is meant",
            )
    return given, unset


def _typed(word: str, following: str | None, options: Mapping[str, Any]) -> _Typed:
    name, equals, value = word.removeprefix("--").partition("=")
    name = name.replace("_", "-")
    if name.startswith(OF_A_STEP):
        step, _, name = name.removeprefix(OF_A_STEP).rpartition(".")
        if step.replace("-", "_") not in STEP_NAMES:
            raise UsageError(
                "An option of a step must be one of bkg_subtract, the step that bkgflow does",
                value=word,
                cure="Leave it out, and have the pipeline do the other steps",
            )
    if name not in options and ALIASES.get(name) in options:
        name = ALIASES[name]
    return _Typed(name, value if equals else None, following)


def _option(typed: _Typed, word: str, options: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return an option as the parser takes it, and how many of the following words it took."""
    own = options.get(typed.name)
    if own is None:
        return _foreign(typed, word)
    if own.is_flag:
        names = own.secondary_opts if f"--{typed.name}" in own.opts else own.opts
        return _flag(typed, names[:1] if own.secondary_opts else [])
    value, used = typed.the_value()
    if value == NONE and typed.name.replace("-", "_") in _may_be_none():
        return [], used
    if typed.value is None and typed.following is None:
        return [f"--{typed.name}"], 0  # the parser says that its value is missing
    return [f"--{typed.name}={value}"], used


def _flag(typed: _Typed, other: list[str]) -> tuple[list[str], int]:
    """Return a flag that may be followed by yes or no; no is its other name, if it has one."""
    said = (typed.value if typed.value is not None else typed.following or "").lower()
    used = int(typed.value is None)
    if said in FALSE:
        return other, used
    if said in TRUE:
        return [f"--{typed.name}"], used
    if typed.value is not None:
        raise UsageError(
            f"The value of --{typed.name} must be true or false, or be left out",
            value=typed.value,
            cure=f"Give --{typed.name} for yes, and leave it out for no",
        )
    return [f"--{typed.name}"], 0


def _foreign(typed: _Typed, word: str) -> tuple[list[str], int]:
    """Pass over an option of strun that says what bkgflow does anyway."""
    other = foreign(typed.name)
    if other is None:
        return [word], 0  # the parser says that there is none
    if other.flag and typed.value is None:
        value, used = "true", 0
    else:
        value, used = typed.the_value()
    if not other.is_neutral(value, typed=True):
        raise refused(typed.name.replace("-", "_"), value, other)
    return [], used
