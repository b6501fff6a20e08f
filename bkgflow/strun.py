"""What users of strun write: arguments of a step that bkgflow has not, and what it has instead.

Arguments of the step itself (`bkgflow.settings.StepSettings`) are the same in both. The others
belong to every step: where values say what bkgflow does anyway they are taken, else refused with
the word for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bkgflow.errors import SettingsError

__all__ = [
    "FALSE",
    "NONE",
    "STEP_NAMES",
    "TRUE",
    "ForeignWord",
    "foreign",
    "refused",
    "without_foreign",
]

STEP_NAMES = ("bkg_subtract", "BackgroundStep", "jwst.background.BackgroundStep")
"""How strun and parameter files call the step."""

TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
"""How a yes and a no may be written, in any case of letters."""

NONE = "None"
"""How strun's users write that an argument is not given."""

ANYTHING = ("*",)


class ForeignWord(NamedTuple):
    """An argument of strun.

    Attributes
    ----------
    neutral : tuple of str
        Values, in small letters, that say what bkgflow does anyway.
    instead : str
        What bkgflow has instead, as a sentence without a full stop.
    on_the_command_line : tuple of str
        More neutral values there.
    flag : bool
        Whether it has no value there.
    """

    neutral: tuple[str, ...]
    instead: str
    on_the_command_line: tuple[str, ...] = ()
    flag: bool = False

    def is_neutral(self, value: object, *, typed: bool = False) -> bool:
        """Whether a value says what bkgflow does anyway; None and an empty list always do."""
        neutral = (*self.neutral, *(self.on_the_command_line if typed else ()))
        said = str(value).strip().lower()
        return neutral == ANYTHING or said in {"none", "", "[]", "()", *neutral}


NAMES = (
    "Products are named as the pipeline names them (…_rate.fits becomes …_bsub.fits): "
    "choose the folder with output_dir and rename the file there"
)
LOGS = (
    "bkgflow says on standard error what happens (--quiet: only what went wrong), and a run "
    "keeps bkgflow.log beside its products"
)
HOOKS = "Call your function before or after bkgflow: there are no hooks"

FOREIGN: Mapping[str, ForeignWord] = {
    "bkg_list": ForeignWord(
        (), "bkg_list is for one target (bkgflow.subtract); a program's associations name theirs"
    ),
    "config_file": ForeignWord((), "Give a parameter file as settings (--settings FILE)"),
    "debug": ForeignWord(("false",), LOGS, flag=True),
    "configure_log": ForeignWord(ANYTHING, LOGS),
    "disable_crds_steppars": ForeignWord(
        ANYTHING, "bkgflow never asks CRDS for parameters", flag=True
    ),
    "input_bkg_list": ForeignWord((), "Give the background exposures as bkg_list"),
    "input_dir": ForeignWord((), "Write the folder into the paths that you give"),
    "log_file": ForeignWord((), LOGS),
    "log_level": ForeignWord(("info",), LOGS),
    "log_stream": ForeignWord(("stderr",), LOGS),
    "logcfg": ForeignWord((), LOGS),
    "name": ForeignWord(ANYTHING, "A step has no name here"),
    "output_dir": ForeignWord(
        (), "Give the folder where you call bkgflow: output_dir of subtract, output of a program"
    ),
    "output_ext": ForeignWord((".fits", "fits"), "Products are FITS files"),
    "output_file": ForeignWord((), NAMES),
    "output_use_index": ForeignWord(ANYTHING, NAMES),
    "output_use_model": ForeignWord(("false",), NAMES),
    "parent": ForeignWord((), "bkgflow does one step, and has no pipelines"),
    "post_hooks": ForeignWord((), HOOKS),
    "pre_hooks": ForeignWord((), HOOKS),
    "save_parameters": ForeignWord(
        (), "Every product says its settings (meta.bkgflow), and bkgflow plan --save keeps them"
    ),
    "save_results": ForeignWord(
        ("false",),
        "bkgflow.subtract returns a model, which save(path) writes; the command bkgflow subtract "
        "and bkgflow.run write their products",
        on_the_command_line=("true",),
    ),
    "search_output_file": ForeignWord(ANYTHING, NAMES),
    "skip": ForeignWord(
        ("false",),
        "Leave the exposure out; a slitless or SOSS exposure is passed on unchanged with "
        "override_bkg=N/A, any other without bkg_list",
    ),
    "suffix": ForeignWord(("bsub",), NAMES),
    "verbose": ForeignWord(ANYTHING, LOGS, flag=True),
}


def foreign(name: str) -> ForeignWord | None:
    """Return the argument of strun that has this name, with hyphens or underscores."""
    return FOREIGN.get(name.replace("-", "_"))


def without_foreign(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments without those of strun that say what bkgflow does anyway.

    Raises
    ------
    SettingsError
        If another one is among them; the cure is what bkgflow has instead.
    """
    left = {}
    for name, value in arguments.items():
        word = foreign(name)
        if word is None:
            left[name] = value
        elif not word.is_neutral(value):
            raise refused(name, value, word)
    return left


def refused(name: str, value: object, word: ForeignWord) -> SettingsError:
    """Return the error of an argument that bkgflow has not."""
    return SettingsError(
        f"An argument must be one that bkgflow has; {name} is one of strun",
        value=f"{name}={value}",
        cure=word.instead,
    )
