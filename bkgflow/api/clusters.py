"""Where a run computes: which clusters there are, what a profile means, and whether it works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial

from bkgflow.api.programs import plan
from bkgflow.campaign.compute import run_plan
from bkgflow.clusters.base import Cluster, Configured
from bkgflow.clusters.choose import KINDS, choose
from bkgflow.clusters.profiles import profiles
from bkgflow.errors import RunError, UsageError
from bkgflow.io.storage.handed import private_folder, remove_folder, working_folder
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.trial import UNSEEN, look_into
from bkgflow.report.tables import human_bytes
from bkgflow.simulate import simulate_imaging

__all__ = ["KnownCluster", "check_cluster", "list_clusters", "show_cluster"]

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """A cluster that ``--cluster`` takes by a word.

    Attributes
    ----------
    file : str
        Of a profile; empty where the word is that of a kind.
    words : str
        What it is; or, of a profile that cannot be used, why.
    """

    name: str
    kind: str
    file: str
    words: str


def list_clusters() -> list[KnownCluster]:
    """Return every word that ``--cluster`` takes: kinds, then the profiles that were found."""
    found = [
        KnownCluster(word, word, "", str(getattr(kind, "SUMMARY", "")))
        for word, kind in KINDS.items()
    ]
    for each in profiles():
        words = ""
        try:
            if each.name in KINDS:
                raise UsageError("A profile must not be called by the word of a kind",
                                 value=each.name, cure="Call it otherwise")  # fmt: skip
            each.cluster(KINDS, {})
        except UsageError as problem:
            words = problem.message
        found.append(KnownCluster(each.name, each.kind, str(each.file), words))
    return found


def show_cluster(cluster: object, **options: object) -> str:
    """Return what a cluster means: all of its settings, and what is asked for its workers.

    Of a batch system, the scripts of a worker's and of the driver's job; of Kubernetes, the
    manifest. Nothing is started.

    Raises
    ------
    UsageError
        If there is no such cluster, or its library is not installed.
    """
    import yaml

    found = choose(cluster, **options)
    settings = {each.name: _plain(getattr(found, each.name)) for each in fields(found)}  # type: ignore[arg-type]
    kind = next((word for word, each in KINDS.items() if isinstance(found, each)), "")
    parts = [yaml.safe_dump({"kind": kind, **settings}, sort_keys=False).rstrip()]
    if isinstance(found, Configured):
        parts += [f"# {title}\n{text.rstrip()}" for title, text in found.rendered().items()]
    return "\n\n".join(parts)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def check_cluster(
    cluster: object,
    folders: Sequence[PathLike] = (),
    *,
    within: PathLike | None = None,
    say: Say = print,
    **options: object,
) -> None:
    """Try a cluster: start one worker, have it do a small unit, and end it again.

    Parameters
    ----------
    cluster
        As for `run`.
    folders : sequence of paths
        That a worker must see as this process sees them.
    within : path, optional
        A folder that driver and workers share, for the files of the small unit; without it the
        working folder. Nothing is left there.
    say : callable
        Given a line on everything that was found.
    **options
        As for `run`.

    Raises
    ------
    UsageError, RunError
        What does not work, and the cure.
    """
    found = choose(cluster, **options)
    here = private_folder(Location.of(within) if within is not None else working_folder())
    try:
        written = simulate_imaging((here / "program").path, targets=1, backgrounds=2, size=64)
        made = plan(str(written.associations[0]), here / "products")
        one: Cluster = found.one().fitted(made) if isinstance(found, Configured) else found
        began = time.monotonic()
        with _words_of_jobs(one), one.open() as executor:
            executor.ready(say)
            say(f"worker: {executor.where}, after {time.monotonic() - began:.1f} s")
            _describe(executor, [Location.of(each) for each in folders], say)
            made.output.make_folder()
            executor.check(made, say)
            say(f"folder: {here.parent}: seen, and written to")
            executor.compile(["image"])
            began = time.monotonic()
            result = run_plan(made, executor)
            say(f"unit: {result.counts}, in {time.monotonic() - began:.1f} s")
            if not result.ok:
                raise RunError(
                    "A worker must be able to do a small unit",
                    value=result.verdicts[0].reason,
                    cure="Mend what it says",
                )
            done = time.monotonic()
        say(f"ended: in {time.monotonic() - done:.1f} s")
    finally:
        remove_folder(here)


def _describe(executor: object, folders: Sequence[Location], say: Say) -> None:
    """Say what a worker is like; refuse one that does not see a folder."""
    client = getattr(executor, "client", None)
    if client is None:
        say("versions: those of this process")
        return
    from bkgflow.clusters.portrait import portrait_of

    found = portrait_of(client, folders)
    said = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    say(f"host: {found.host}")
    say(f"versions: {said}")
    for name, (there, here) in found.others.items():
        say(f"differs: {name} {there}, here {here}")
    limit = human_bytes(found.memory) if found.memory else "no limit"
    say(f"memory: {limit}; threads: {found.threads}")
    for folder in folders:
        _see(folder, found.folders[folder], say)


def _see(folder: Location, there: str, say: Say) -> None:
    here = look_into(folder)
    if here.startswith(UNSEEN) or there != here:
        raise UsageError(
            "A worker must see a folder as the driver sees it",
            file=folder,
            value=f"here {here}; there {there}",
            cure="Share it with every worker under the same path, or use a bucket",
        )
    say(f"folder: {folder}: seen, {here.partition(' names')[0]} names")


@contextmanager
def _words_of_jobs(cluster: Cluster) -> Iterator[None]:
    """Add to an error what was said last where workers are started."""
    last = cluster.last_words if isinstance(cluster, Configured) else partial(str, "")
    try:
        yield
    except RunError as problem:
        said = last()
        if not said:
            raise
        value = f"{problem.value}; a job said last: {said.splitlines()[-1][:300]}"
        raise RunError(problem.rule, file=problem.file, value=value, cure=problem.cure) from None
