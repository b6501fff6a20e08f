"""What makes a run of a campaign again: the command line, or a plan that was kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bkgflow.io.storage.location import Location
from bkgflow.io.storage.space import moved
from bkgflow.strun import FALSE, TRUE
from bkgflow.texts import without_password

__all__ = ["PLAN_FILE", "Asked", "options_without_passwords", "without_passwords"]

PLAN_FILE = "bkgflow-plan.json"
"""Name of the plan in an output folder whose campaign was submitted from Python."""

ONCE = ("--fresh", "--retry-failed", "--verbose", "-v")
"""What was asked of one run: the next one goes on with what is left, and may run by itself."""

PART = "--only"
"""Likewise; a pattern follows."""

OUTPUT, STORE, LEDGER = ("--output", "--output-dir"), "--store", "--ledger"
"""What says where a run writes; a value follows."""

SAID = TRUE | FALSE
"""What may stand behind such an option."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for.

    Attributes
    ----------
    command : tuple of str
        The words of the command line from ``run`` on, without passwords; empty where the run was
        asked for from Python.
    folder : str
        Where the command was given: its paths count from there.
    plan : str
        Name of the plan in the output folder, where there is no command.
    cluster : mapping
        Where it is computed, as `bkgflow.clusters.handover` describes it.
    options : mapping
        Of such a plan: what `bkgflow.run` is told.
    """

    command: tuple[str, ...] = ()
    folder: str = ""
    plan: str = ""
    cluster: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, for JSON."""
        return {
            "command": list(self.command),
            "folder": self.folder,
            "plan": self.plan,
            "cluster": dict(self.cluster),
            "options": dict(self.options),
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, object]) -> Asked:
        """Return what `to_dict` took apart; of other versions, as much as is known."""
        command, cluster, options = (parts.get(each) for each in ("command", "cluster", "options"))
        return cls(
            tuple(map(str, command)) if isinstance(command, list) else (),
            str(parts.get("folder") or ""),
            str(parts.get("plan") or ""),
            cluster if isinstance(cluster, dict) else {},
            options if isinstance(options, dict) else {},
        )

    @property
    def again(self) -> tuple[str, ...]:
        """The words of the command line that goes on."""
        words, kept = list(self.command), list[str]()
        while words and words[0] != "--":  # behind it stand no options
            word = words.pop(0)
            name, equals, _ = word.replace("_", "-").partition("=")
            if name == PART:
                del words[: not equals]
            elif name not in ONCE:
                kept.append(word)
            elif word.startswith("--") and not equals and words and words[0].lower() in SAID:
                del words[0]
        return (*kept, *words)

    def into(self, output: Location) -> Asked:
        """Return it for the output folder of its campaign, wherever that lies now.

        A folder that was moved or copied knows the command by which its older self was made. A
        store within it came along, and where its ledger is the folder itself says.
        """
        given = next((value for name, value, _ in self._parts() if name in OUTPUT), None)
        if given is None or (before := self._location(given)).is_same(output):
            return self
        words = list[str]()
        for name, value, typed in self._parts():
            if name in OUTPUT:
                words += (typed[0], str(output)) if len(typed) > 1 else (f"{name}={output}",)
            elif name == STORE:
                store = self._location(value).url
                now = moved(store, before, output)
                words += typed if now == store else (f"{STORE}={now}",)
            elif name != LEDGER:
                words += typed
        return replace(self, command=tuple(words))

    def _parts(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Give the words of the command, those that say where it writes with their values."""
        words = list(self.command)
        while words and words[0] != "--":  # behind it stand no options
            word = words.pop(0)
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            if name not in {*OUTPUT, STORE, LEDGER}:
                yield "", "", (word,)
            elif equals or not words:
                yield name, value, (word,)
            else:
                value = words.pop(0)
                yield name, value, (word, value)
        yield "", "", tuple(words)

    def _location(self, given: str) -> Location:
        """Return where a path of the command is; a URL is not asked for."""
        if "://" in given and not given.startswith("file://"):
            return Location(given.rstrip("/"))
        whole = given.startswith(("/", "~", "file://")) or not self.folder
        return Location.of(given if whole else f"{self.folder}/{given}")

    @property
    def place(self) -> str:
        """Where it is computed, if that is elsewhere than with its driver."""
        settings = self.cluster.get("settings")
        return str(settings.get("address", "")) if isinstance(settings, dict) else ""

    def words(self, here: str) -> str:
        """Return the command that goes on, to be pasted into a shell in some folder."""
        return self._pasted(self.again, here)

    def anew(self, only: str, here: str) -> str:
        """Return the command that does anew what fits a pattern, likewise."""
        return self._pasted((*self.again[:1], "--fresh", PART, only, *self.again[1:]), here)

    def _pasted(self, asked: Iterable[str], here: str) -> str:
        if not self.command:
            return ""
        words = shlex.join(("bkgflow", *asked))
        return words if self.folder in {"", here} else f"cd {shlex.quote(self.folder)} && {words}"


def without_passwords(words: Iterable[str]) -> tuple[str, ...]:
    """Return words of a command line without the passwords of URLs: those stand nowhere."""
    return tuple(map(without_password, words))


def options_without_passwords(options: Mapping[str, object]) -> dict[str, object]:
    """Return what `bkgflow.run` is told, likewise: a ledger keeps it."""
    kept = dict(options)
    for name, value in options.items():
        if isinstance(value, str):
            kept[name] = without_password(value)
        elif isinstance(value, list | tuple):
            kept[name] = list(without_passwords(map(str, value)))
    return kept
