"""What a run takes up and what it leaves as it is: a plan beside the ledger and the files.

Nothing is computed and nothing written here: the same question can be asked without a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from bkgflow.campaign.causes import CAUSES, Cause
from bkgflow.campaign.ledger.rows import Kept, KeptFile, names_of, refused_name
from bkgflow.errors import UsageError
from bkgflow.io.storage.identity import Stamp
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.space import stamps_of
from bkgflow.planning.keys import Key
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.settings import usual_values
from bkgflow.verdict import State

__all__ = ["Choice", "Choices", "Resume", "cause_of", "choose_units"]


@dataclass(frozen=True, slots=True)
class Resume:
    """What of a campaign is to be done.

    Attributes
    ----------
    fresh : bool
        Do everything anew.
    only : tuple of str
        Patterns: of units whose target, product or association has such a name.
    retry_failed : bool
        Do again what went wrong although nothing has changed.
    rerun_on : tuple of str
        The changes that count, of `CAUSES`.
    """

    fresh: bool = False
    only: tuple[str, ...] = ()
    retry_failed: bool = False
    rerun_on: tuple[str, ...] = CAUSES

    def __post_init__(self) -> None:
        """Refuse changes that are none."""
        if unknown := [each for each in self.rerun_on if each not in CAUSES]:
            raise UsageError(
                f"What units are done again for must be among: {', '.join(CAUSES)}",
                value=", ".join(unknown),
                cure="Give some of these, separated by commas; without it all of them count",
            )

    def wants(self, unit: Unit) -> bool:
        """Whether a unit is asked for."""
        return not self.only or any(_fits(unit, pattern) for pattern in self.only)

    def check_fits(self, units: Sequence[Unit]) -> None:
        """See that every pattern fits a unit: a typing error would look like work that is done.

        Raises
        ------
        UsageError
            If one fits none.
        """
        idle = [each for each in self.only if not any(_fits(unit, each) for unit in units)]
        if idle and units:
            raise UsageError(
                "A pattern of units must fit at least one of them",
                value=", ".join(idle),
                cure=f"Give the name of a target, a product or an association, with * for what "
                f"may be anything: one is called {units[0].name}",
            )


def _fits(unit: Unit, pattern: str) -> bool:
    names = (unit.name, unit.output, unit.product, Location.of(unit.association or "-").name)
    return any(fnmatch(name, pattern) for name in names)


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a unit is done, and why.

    Attributes
    ----------
    do : bool
        Whether the run takes it up.
    words : tuple of str
        What has changed; of a unit that is kept, what has changed and does not count.
    kept : Kept or None
        How it stands in the ledger.
    stale : tuple of KeptFile
        Files whose time is another than the ledger says while their bytes are the same.
    """

    unit: Unit
    do: bool
    cause: Cause
    words: tuple[str, ...] = ()
    kept: Kept | None = None
    stale: tuple[KeptFile, ...] = ()

    @property
    def more_known(self) -> bool:
        """Whether more is known now of the inputs of a unit that stays: how their bytes are."""
        if self.do or self.words or self.kept is None or not self.kept.kind:
            return False
        now, before = self.unit.key, self.kept.key_text
        return now.to_json() != before and now.checksums >= self.kept.key.checksums

    @property
    def why(self) -> str:
        """The cause, and what has changed, in a line."""
        return f"{self.cause}: {'; '.join(self.words)}" if self.words else self.cause.value


@dataclass(frozen=True, slots=True)
class Choices:
    """What is to be done of a plan, in its order."""

    units: tuple[Choice, ...]

    @property
    def to_do(self) -> list[Choice]:
        """Those that the run takes up."""
        return [each for each in self.units if each.do]

    @property
    def left(self) -> list[Choice]:
        """Those that stay as they are."""
        return [each for each in self.units if not each.do]

    @property
    def resumes(self) -> bool:
        """Whether there is anything to say: some unit was there before."""
        return any(each.kept is not None for each in self.units)

    def summary(self) -> str:
        """Say in a line how many are done and left, and why."""
        done: Counter[Cause] = Counter(each.cause for each in self.to_do)
        refused = done.pop(Cause.REFUSED, 0)
        left: Counter[Cause] = Counter(each.cause for each in self.left)
        parts = []
        if done:
            parts.append(f"{sum(done.values()):,} to do ({_counted(done)})")
        if refused:
            parts.append(f"{refused:,} refused")
        if left:
            parts.append(f"{sum(left.values()):,} left as they are ({_counted(left)})")
        return "; ".join(parts) or "nothing to do"


def _counted(causes: Counter[Cause]) -> str:
    return ", ".join(f"{number:,} {cause}" for cause, number in causes.most_common())


def choose_units(
    plan: Plan, ledger: Iterable[Kept], resume: Resume, *, there: Mapping[str, Stamp] | None = None
) -> Choices:
    """Decide which units of a plan are done.

    Parameters
    ----------
    ledger : iterable of Kept
        How the campaign's units stand.
    there : mapping, optional
        The files of the output folder; without it, it is looked at.
    """
    known = {each.unit: each for each in ledger}
    files = (name for unit in plan.units for name in unit.files)
    stamps = stamps_of(plan.output, files) if there is None else there
    names = names_of(plan.units)
    shared = {each.digest: each.key for each in plan.shared}
    refused = {name: each for name, each in known.items() if each.verdict and not each.kind}
    look = _Look(plan.output, stamps, resume, shared, refused)
    return Choices(
        tuple(
            look.choice(unit, known.get(names[unit.digest]))
            for unit in plan.units
            if resume.wants(unit)
        )
    )


@dataclass(frozen=True, slots=True)
class _Look:
    output: Location
    there: Mapping[str, Stamp]
    resume: Resume
    shared: Mapping[str, Key]
    refused: Mapping[str, Kept]

    def choice(self, unit: Unit, kept: Kept | None) -> Choice:
        """Decide on a unit that the ledger has like this, or not at all."""
        if (cause := self._before_all(unit, kept)) is not None:
            return Choice(unit, True, cause[0], cause[1], kept)
        assert kept is not None
        if unit.digest != kept.digest and not kept.key.parts:
            words = "made from something else; the ledger was made again since"
            return Choice(unit, True, Cause.UNKNOWN, (words,), kept)
        changed = self._changes(unit, kept)
        counts = [each for each in changed if each[0] in self.resume.rerun_on]
        if counts:
            return Choice(unit, True, Cause(counts[0][0]), tuple(w for _, w in changed), kept)
        excused = tuple(f"{words} (does not count: {cause})" for cause, words in changed)
        return self._valid(unit, kept, excused)

    def _before_all(self, unit: Unit, kept: Kept | None) -> tuple[Cause, tuple[str, ...]] | None:
        """Return why a unit is taken up whatever has changed; None where that must be looked at."""
        if unit.verdict.state == State.QUARANTINED:
            return Cause.REFUSED, (unit.verdict.reason,)
        if self.resume.fresh:
            return Cause.FRESH, ()
        if kept is None:
            return self._not_kept(unit)
        if kept.verdict is None or kept.state == State.BLOCKED:
            return Cause.LEFT, (_left_off(kept),)
        if kept.state == State.QUARANTINED and (kept.begun is None or not kept.kind):
            # Its headers were refused, or other units: nothing of it was ever computed.
            return Cause.INPUTS, _refused_before(kept)
        return None

    def _not_kept(self, unit: Unit) -> tuple[Cause, tuple[str, ...]]:
        """Return why a unit is taken up that the ledger does not have."""
        if unknown := [name for name in unit.files if name in self.there]:
            return Cause.UNKNOWN, (f"{unknown[0]} is there, but not in the ledger",)
        if (before := self.refused.get(refused_name(unit))) is not None:
            return Cause.INPUTS, _refused_before(before)
        return Cause.NEW, ()

    def _valid(self, unit: Unit, kept: Kept, excused: tuple[str, ...]) -> Choice:
        """Choose for a unit of which nothing that counts has changed."""
        if not kept.state.good and self.resume.retry_failed:
            assert kept.verdict is not None
            return Choice(unit, True, Cause.RETRY, (kept.verdict.reason,), kept)
        files = [each for each in kept.files if each.digest == kept.digest]
        if kept.state == State.QUARANTINED:
            return Choice(unit, False, Cause.BAD, excused, kept)
        missing = [name for name in unit.files if name not in {each.file for each in files}]
        if missing:
            words = f"the ledger has no {missing[0]}"
            return Choice(unit, True, Cause.PRODUCT, (words,), kept)
        stale = []
        for file in files:
            wrong, now = self._looked_at(file)
            if wrong:
                return Choice(unit, True, Cause.PRODUCT, (wrong,), kept)
            if now is not None:
                stale.append(now)
        cause = Cause.KEPT if kept.state.good else Cause.BAD
        return Choice(unit, False, cause, excused, kept, tuple(stale))

    def _looked_at(self, file: KeptFile) -> tuple[str, KeptFile | None]:
        """Return what is wrong with a product, or how it is now if it only has another time."""
        found = self.there.get(file.file)
        if found is None:
            return f"{file.file} is missing", None
        if found.size != file.size:
            return f"{file.file} has {found.size} bytes, the ledger says {file.size}", None
        if found.mtime_ns == file.mtime_ns:
            return "", None
        if not file.checksum or (self.output / file.file).checksum() != file.checksum:
            return f"{file.file} has other bytes than the ledger says", None
        now = KeptFile(file.file, found.size, found.mtime_ns, file.checksum, file.digest)
        return "", now

    def _changes(self, unit: Unit, kept: Kept) -> list[tuple[str, str]]:
        """Return what has changed, each with the cause that it belongs to."""
        if unit.digest == kept.digest:
            return []
        before, usual = kept.key.without("shared result"), usual_values()
        own = unit.key.without("shared result").differences(before, usual)
        found = [(cause_of(each.name), each.words) for each in own]
        now = self.shared.get(unit.shared)
        if now is not None and kept.shared_key is not None:
            differences = now.differences(kept.shared_key, usual)
            found += [(cause_of(each.name), each.words) for each in differences]
        elif bool(unit.shared) != bool(kept.shared_key):
            words = "backgrounds: " + ("some, none before" if unit.shared else "none, some before")
            found.append(("inputs", words))
        return list(dict.fromkeys(found))


def _refused_before(kept: Kept) -> tuple[str, ...]:
    assert kept.verdict is not None
    return (f"refused before: {kept.verdict.reason}",)


def _left_off(kept: Kept) -> str:
    if kept.verdict is not None:
        return kept.verdict.reason
    return "interrupted" if kept.begun is not None else "it had not begun"


INPUTS: Collection[str] = ("target", "background", "segment", "skipped because")
REFERENCES: Collection[str] = (
    "catalog", "mask", "source mask", "WCS of the source mask", "mask of the exposure before it",
    "bkg_scale_map",
)  # fmt: skip


def cause_of(part: str) -> str:
    """Return the kind of change that a part of a key belongs to."""
    if part == "method":
        return "version"
    if part in REFERENCES or part.startswith("reference "):
        return "references"
    if part in INPUTS or part.startswith("imprint"):
        return "inputs"
    return "settings"
