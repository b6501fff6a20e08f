"""Profiles: the settings of a cluster in a YAML file, which is given by its path or its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bkgflow.clusters.base import Configured, options_of
from bkgflow.clusters.options import given_options, refuse_secrets, refuse_unknown
from bkgflow.clusters.typed import typed
from bkgflow.errors import BkgflowError, UsageError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.user_settings import files_in, settings_folders
from bkgflow.texts import nearest

__all__ = ["FOLDERS", "Profile", "find_profile", "made_of", "profiles", "read_profile"]

FOLDERS = "BKGFLOW_CLUSTERS"
"""Variable of the environment: folders of profiles, which go before those of the user."""

SUFFIXES = (".yaml", ".yml")

TIMES = {"walltime", "driver_walltime", "driver-walltime"}
"""Settings that say how long a job may take."""

MANY = {"workers", "adaptive"}
"""Settings that say how many workers there are, of which a cluster has one."""

Kinds = Mapping[str, type[Configured]]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a file says.

    Attributes
    ----------
    name : str
        By which it is found, if it lies in a folder of profiles.
    settings : mapping
        With its ``kind``.
    trouble : UsageError or None
        Why the file cannot be read.
    """

    name: str
    file: Location
    settings: Mapping[str, object]
    trouble: UsageError | None = None

    @property
    def kind(self) -> str:
        """Of which kind the cluster is; empty where the file does not say."""
        return str(self.settings.get("kind", ""))

    def cluster(self, kinds: Kinds, over: Mapping[str, object]) -> Configured:
        """Return the cluster.

        Parameters
        ----------
        kinds : mapping
            The kinds that there are.
        over : mapping
            Settings that go before those of the file, by their names there.

        Raises
        ------
        UsageError
            If it cannot be read, or a setting is wrong: with the file's name.
        """
        if self.trouble is not None:
            raise self.trouble
        try:
            return made_of(self.settings, kinds, over)
        except UsageError as error:
            kind = type(error)
            raise kind(error.rule, file=self.file, value=error.value, cure=error.cure) from None


def read_profile(file: Location) -> Profile:
    """Read a profile.

    Raises
    ------
    UsageError
        If it cannot be read, or is no YAML, or no mapping.
    """
    import yaml

    from bkgflow.clusters.plain_yaml import load_plain

    try:
        found = load_plain(file.read_text("A profile"))
    except BkgflowError as problem:
        raise UsageError(
            "A profile must be a file that can be read",
            file=file,
            value=problem.value or problem.rule,
            cure="Give the path of a YAML file, or a name that bkgflow clusters list shows",
        ) from None
    except (yaml.YAMLError, ValueError) as problem:  # a date that is none is a ValueError
        said = " ".join(str(problem).split())[:200]
        raise UsageError(
            "A profile must be YAML", file=file, value=said, cure="Mend it there"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found):
        raise UsageError(
            "A profile must be settings by their names",
            file=file,
            value=type(found).__name__,
            cure="Write kind: slurm, and the other settings below it",
        )
    # A number alone is of minutes, as where it is written in quotes; from Python it is of seconds.
    times = {name: str(found[name]) for name in TIMES & found.keys() if _is_number(found[name])}
    return Profile(file.name.rpartition(".")[0], file, found | times)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def profiles() -> list[Profile]:
    """Return the profiles in all folders, by their names; a name counts once.

    One that cannot be read has no settings, and says why.
    """
    found: dict[str, Profile] = {}
    for folder in settings_folders("clusters", FOLDERS):
        for file in files_in(folder, SUFFIXES):
            name = file.name.rpartition(".")[0]
            if name not in found:
                try:
                    found[name] = read_profile(file)
                except UsageError as problem:
                    found[name] = Profile(name, file, {}, problem)
    return [found[name] for name in sorted(found)]


def find_profile(name: str) -> Profile | None:
    """Return the profile that a name or a path means; None where there is none of that name.

    Raises
    ------
    UsageError
        If it is a path, or there is a file, and it cannot be read.
    """
    if name.endswith(SUFFIXES):
        return read_profile(Location.of(name))
    if not name or "/" in name or ":" in name:
        return None
    for folder in settings_folders("clusters", FOLDERS):
        for file in files_in(folder, SUFFIXES):
            if file.name.rpartition(".")[0] == name:
                return read_profile(file)
    return None


def made_of(
    settings: Mapping[str, object], kinds: Kinds, over: Mapping[str, object] | None = None
) -> Configured:
    """Return the cluster of some settings: those of a profile.

    Settings that its kind does not have are the engine's own, where there is one.

    Parameters
    ----------
    over : mapping, optional
        Settings that go before these.

    Raises
    ------
    UsageError
        If there is no such kind, or a setting is wrong.
    """
    given = _over(_named(settings), over or {})
    word = given.pop("kind", None)
    if not isinstance(word, str) or word not in kinds:
        close = nearest(str(word), kinds)
        raise UsageError(
            f"The kind of a cluster must be one of: {', '.join(kinds)}",
            value=f"kind={word}",
            cure=f"Use {close}" if close else "Give one of these",
        )
    kind = kinds[word]
    known = {*options_of(kind), *kind.NEEDS}
    refuse_secrets({name: each for name, each in given.items() if name not in known})
    if lacking := [each for each in kind.NEEDS if each not in given]:
        raise UsageError(
            f"A cluster of the kind {word} must have all that it needs",
            value=f"no {lacking[0]}",
            cure=f"Give {lacking[0]}:",
        )
    others = {name: value for name, value in given.items() if name not in known}
    if others and kind.PASSES:
        given["options"] = {**others, **given_options(given.get("options"))}
    else:
        where = f"it has {', '.join(sorted(known - {'options'}))}"
        where += "; what its engine has beside that stands under options" * ("options" in known)
        refuse_unknown(word, others, known, where)
    mine = {name: value for name, value in given.items() if name in known and value is not None}
    return kind(**typed(kind, mine))


def _named(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings by their names, which may be written with hyphens."""
    written: dict[str, str] = {}
    for name in settings:
        first = written.setdefault(name.replace("-", "_"), name)
        if first != name:
            raise UsageError(
                "A setting of a cluster must be given once",
                value=f"{first} and {name}",
                cure="Leave one of them out",
            )
    return {name: settings[each] for name, each in written.items()}


def _over(settings: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Return settings with others that go before them: how many workers is said in one way."""
    said = over.keys() & MANY
    return {
        **{name: value for name, value in settings.items() if not (said and name in MANY)},
        **over,
    }
