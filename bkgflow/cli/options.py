"""Options that several commands share, made from the settings that they set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from bkgflow.campaign.causes import CAUSES
from bkgflow.cli.given import parameter, takes
from bkgflow.errors import UsageError
from bkgflow.forms import Flags, Several
from bkgflow.settings import StepSettings

__all__ = [
    "STEP",
    "BkgList",
    "Checksum",
    "Confine",
    "Data",
    "Imprints",
    "Members",
    "Program",
    "Quiet",
    "References",
    "Values",
    "takes_campaign",
    "takes_retries",
    "takes_step_arguments",
    "takes_watching",
]

STEP = "Step arguments"
"""The panel of their help."""

Values = dict[str, Any]
"""What was given, by the names of options."""

SEVERAL = "one or several; patterns and @FILE, a file of lines, as well."

Program = Annotated[
    list[str],
    typer.Argument(
        metavar="PROGRAM",
        help="Folders of associations, associations (JSON), or exposures with --bkg-list: "
        f"{SEVERAL}",
    ),
]
Members = Annotated[
    list[str],
    typer.Argument(
        metavar="PROGRAM",
        help=f"Exposures, folders of them, or associations that have them as members: {SEVERAL}",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only what went wrong, and the summary.")
]
References = Annotated[
    str | None,
    typer.Option(
        help="Folder of references for slitless and SOSS exposures; without it, CRDS is asked.",
        metavar="DIR",
        show_default=False,
    ),
]

Data = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder where members of associations are looked for, with all below it, if they do "
        "not lie beside their association; may be given several times.",
        metavar="DIR",
        show_default=False,
    ),
]
Confine = Annotated[
    str | None,
    typer.Option(
        help="Refuse every exposure and catalog outside of this folder, links resolved.",
        metavar="DIR",
        show_default=False,
    ),
]
BkgList = Annotated[
    list[str] | None,
    typer.Option(
        help="Background exposures, separated by commas; patterns, and @FILE, a file of lines; "
        "may be given several times.",
        metavar="FILES",
        rich_help_panel=STEP,
        show_default=False,
    ),
]
Imprints = Annotated[
    list[str] | None,
    typer.Option(
        help="Imprint exposures of NIRSpec IFU and MSA, separated by commas; patterns, and @FILE, "
        "a file of lines; may be given several times.",
        metavar="FILES",
        rich_help_panel=STEP,
        show_default=False,
    ),
]


Checksum = Annotated[
    bool,
    typer.Option(
        "--checksum",
        help="Know inputs by their bytes, which are all read: one that was only written again "
        "counts as unchanged.",
    ),
]

SETTINGS = typer.Option(
    help="A parameter file of the step (ASDF or .cfg, as strun takes them); what is given here "
    "goes before what it says.",
    metavar="FILE",
    rich_help_panel=STEP,
)


def takes_step_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of the step's arguments, and one for a file of them.

    The command gets those that were given as one mapping, ``arguments``.
    """
    made = [_step_option(name, field) for name, field in StepSettings.model_fields.items()]
    own = [parameter("settings", str | None, None, SETTINGS), *made]
    return takes(command, "arguments", own, unset=True)


RESUME: dict[str, tuple[object, Any, Any]] = {
    "fresh": (bool, False, typer.Option("--fresh", help="Do everything anew.")),
    "only": (
        list[str] | None,
        None,
        typer.Option(
            help="Do only units whose target, product or association has such a name; may be "
            "given several times.",
            metavar="PATTERN",
            show_default=False,
        ),
    ),
    "retry_failed": (
        bool,
        False,
        typer.Option("--retry-failed", help="Also do again what went wrong though unchanged."),
    ),
    "rerun_on": (
        str | None,
        None,
        typer.Option(
            help=f"Changes because of which a unit is done again: some of {', '.join(CAUSES)}.",
            metavar="WORDS",
            show_default="all",
        ),
    ),
    "ledger": (
        str | None,
        None,
        typer.Option(
            help="Where the campaign's ledger is: a file, or postgresql://USER@HOST/DATABASE.",
            metavar="WHERE",
            show_default="in the output folder",
        ),
    ),
    "label": (
        list[str] | None,
        None,
        typer.Option(
            help="A word by which people find the campaign; may be given several times.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ),
}
"""Options that say what of a campaign is done: type, default, and words."""


def takes_campaign(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what of a campaign is done.

    The command gets them as one mapping, ``campaign``, as `bkgflow.run` takes them.
    """
    made = [
        parameter(name, kind, default, words) for name, (kind, default, words) in RESUME.items()
    ]
    for _, _, words in RESUME.values():
        words.rich_help_panel = "Campaign"

    @wraps(command)
    def told(**values: Any) -> None:
        given = values.pop("campaign")
        if "rerun_on" in given:
            given["rerun_on"] = [each.strip() for each in given["rerun_on"].split(",")]
        if "label" in given:
            given["labels"] = _labels(given.pop("label"))
        command(**values, campaign=given)

    return takes(told, "campaign", made)


def _labels(given: Sequence[str]) -> dict[str, str]:
    """Return labels by their keys; `UsageError` where one has none."""
    parts = [each.partition("=") for each in given]
    if wrong := ["".join(each) for each in parts if not each[0].strip() or not each[1]]:
        raise UsageError(
            "A label must be KEY=VALUE",
            value=", ".join(wrong),
            cure="Give, for example, --label operator=ada",
        )
    keys = [key.strip() for key, _, _ in parts]
    if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
        raise UsageError(
            "A label must be given once",
            value=", ".join(dict.fromkeys(twice)),
            cure="Leave one of the values out",
        )
    return dict(zip(keys, (value.strip() for _, _, value in parts), strict=True))


NOTIFY = typer.Option(
    help="Tell of the first unit that goes wrong and of the end, in JSON: POST to this URL, or run "
    "this command, with JSON on standard input and a summary as last argument.",
    metavar="TARGET",
    rich_help_panel="Watching",
    show_default=False,
)
METRICS = typer.Option(
    help="Serve metrics for Prometheus at this port while the run lasts; HOST:PORT for more than "
    "this machine.",
    metavar="PORT",
    rich_help_panel="Watching",
    show_default=False,
)


def takes_retries(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what is done about units that fail.

    The command gets those that were given as one mapping, ``retries``, as `bkgflow.run` takes
    them.
    """
    tried = "How often a unit is tried again that fails for no fault of its inputs."
    first = "End with the first unit that is not good."
    time = "Seconds that a unit may take on its worker; needs worker processes."
    option = partial(typer.Option, show_default=False)
    made = [
        parameter("max_retries", int | None, None, option(help=tried, min=0, metavar="N")),
        parameter("timeout", float | None, None, option(help=time, metavar="SECONDS")),
        parameter("fail_fast", bool, False, option("--fail-fast", help=first)),
    ]
    return takes(command, "retries", made)


def takes_watching(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say who else hears of a run.

    The command gets those that were given as one mapping, ``watching``, as `bkgflow.run` takes
    them.
    """
    made = [
        parameter("notify", str | None, None, NOTIFY),
        parameter("metrics", str | None, None, METRICS),
    ]
    return takes(command, "watching", made)


def _step_option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Make the option of one step argument: its type, default and description are the field's."""
    kind: Any = field.annotation
    default, text = field.default, field.description or ""
    words: Values = {"help": text, "rich_help_panel": STEP}
    whose, _, rest = text.partition(": ")
    if name.startswith(("wfss_", "soss_")):  # what all of them share, the panel says
        words = {"help": rest[0].upper() + rest[1:], "rich_help_panel": f"{STEP} for {whose}"}
    flag = [f"--{name.replace('_', '-')}"] if kind is bool and not default else []
    words["show_default"] = False  # typer would put what stands for None into brackets
    said = default
    several = any(isinstance(each, Several) for each in field.metadata)
    # Short ones: in 80 columns the names of the options need the room.
    match default:
        case True:  # a flag could not turn it off
            kind, words["metavar"], said = str, "on|off", "on"
        case False:
            words["metavar"] = ""
        case (float(), *_):
            kind, words["metavar"] = str, "LOW,HIGH"
            said = ",".join(f"{value:g}" for value in default)
        case float() if kind is not float:  # one number, or several
            kind, words["metavar"] = str, "X[,X]"
        case str() if not all(isinstance(each, str) for each in get_args(kind)):
            kind, words["metavar"] = str, "WORD|X"
        case str():
            words["help"] += f" One of: {', '.join(get_args(kind))}."
            kind, words["metavar"] = str, "WORD"
        case _ if any(isinstance(each, Flags) for each in field.metadata):
            kind, words["metavar"] = str, "FLAGS"
        case _ if several or isinstance(default, tuple):
            kind, words["metavar"] = list[str], "FILE" if default is None else "NAME"
        case _:
            numbers = {float: "X", int: "N"}
            own = next((each for each in (kind, *get_args(kind)) if each in numbers), None)
            words["metavar"] = numbers.get(own, "FILE") if own else "FILE"
    if said not in (None, (), "") and said is not False:
        words["help"] += f" Default: {said if isinstance(said, str) else f'{said:g}'}."
    # None stands for what was not given: that may stand in a parameter file.
    kind = kind if kind == list[str] else kind | None
    return parameter(name, kind, None, typer.Option(*flag, **words))
