"""The errors bkgflow raises.

Every message says which file, which rule, which value broke it, and the cure::

    BkgflowError
     ├─ UsageError           the call or the command is wrong; nothing was started
     │   ├─ SettingsError    a step argument is out of bounds
     │   └─ PlanError        the program as a whole cannot be planned
     ├─ InputError           one input cannot be used; its unit is QUARANTINED
     │   ├─ AssociationError not JSON, no products, members that cannot be right
     │   ├─ FileError        missing, unreadable, truncated, or without SCI, ERR, DQ
     │   ├─ ShapeError       arrays that contradict each other or their window
     │   ├─ WindowError      the place on the detector is unknown or does not fit
     │   ├─ MetadataError    a keyword that the rule needs is missing or not a number
     │   ├─ BackgroundError  the backgrounds hold nothing that could be subtracted
     │   ├─ ReferenceFileError no reference file fits the exposure, or more than one does
     │   └─ ConflictError    two units would write the same file
     ├─ OutputError          the product cannot be written where it was asked for
     │   ├─ StorageError     no product can: the folder's disk is full, gone or read-only
     │   └─ LedgerError      the campaign's ledger is missing, damaged, newer, or does not answer
     └─ RunError             the machinery failed (a worker, a read that may pass); may be retried

Only ``RunError`` can be cured by a retry: its ``retryable`` is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, ClassVar

from bkgflow.texts import without_password

__all__ = [
    "AssociationError",
    "BackgroundError",
    "BkgflowError",
    "ConflictError",
    "FileError",
    "InputError",
    "LedgerError",
    "MetadataError",
    "OutputError",
    "PlanError",
    "ReferenceFileError",
    "RunError",
    "SettingsError",
    "ShapeError",
    "StorageError",
    "UsageError",
    "WindowError",
]


class BkgflowError(Exception):
    """What all errors of bkgflow share.

    Parameters
    ----------
    rule : str
        What must hold, as a sentence without a full stop.
    value : object, optional
        What was found instead; a password of a URL is not repeated.
    cure : str
        What the user can do about it.
    file : path-like, optional
        The file at fault.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self, rule: str, *, cure: str, value: object = None, file: str | PathLike[str] | None = None
    ) -> None:
        self.rule = rule
        self.value = None if value is None else without_password(str(value))
        self.cure = cure
        self.file = None if file is None else without_password(str(file))
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """File, rule, value and cure in one line."""
        where = f"{self.file}: " if self.file else ""
        found = f" (found: {self.value})" if self.value is not None else ""
        return f"{where}{self.rule}{found}. {self.cure}."

    def to_dict(self) -> dict[str, str | None]:
        """Return the parts as plain strings, for JSON."""
        return {
            "error": type(self).__name__,
            "file": self.file,
            "rule": self.rule,
            "value": self.value,
            "cure": self.cure,
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, str | None]) -> BkgflowError:
        """Return the error that `to_dict` took apart; of an unknown class, a `BkgflowError`."""
        kind = _kinds().get(parts.get("error") or "", BkgflowError)
        rule, cure = parts.get("rule") or "", parts.get("cure") or ""
        return kind(rule, cure=cure, value=parts.get("value"), file=parts.get("file"))

    def __eq__(self, other: object) -> bool:
        """Two errors are equal if they say the same."""
        return isinstance(other, BkgflowError) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        """By what it says."""
        return hash((type(self), self.message))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the parts, so that the error crosses processes whole."""
        return _rebuild, (type(self), self.rule, self.cure, self.value, self.file)


def _rebuild(
    kind: type[BkgflowError], rule: str, cure: str, value: str | None, file: str | None
) -> BkgflowError:
    return kind(rule, cure=cure, value=value, file=file)


def _kinds() -> dict[str, type[BkgflowError]]:
    """Return every class of error by its name."""
    found, left = {"BkgflowError": BkgflowError}, [BkgflowError]
    while left:
        for kind in left.pop().__subclasses__():
            found[kind.__name__] = kind
            left.append(kind)
    return found


class UsageError(BkgflowError):
    """The call or the command is wrong; nothing was started."""


class SettingsError(UsageError):
    """A step argument is out of bounds."""


class PlanError(UsageError):
    """The program as a whole cannot be planned."""


class InputError(BkgflowError):
    """One input cannot be used."""


class AssociationError(InputError):
    """An association that cannot be parsed, or whose members cannot be right."""


class FileError(InputError):
    """A file that is missing, unreadable, truncated or lacks an extension."""


class ShapeError(InputError):
    """Arrays that contradict each other or the window they claim."""


class WindowError(InputError):
    """A place on the detector that is unknown or does not fit."""


class MetadataError(InputError):
    """A keyword that a rule needs is missing or not a number."""


class BackgroundError(InputError):
    """Backgrounds that hold nothing which could be subtracted."""


class ReferenceFileError(InputError):
    """A reference file that is not there, does not fit, or is not the only one that does."""


class ConflictError(InputError):
    """Two units that would write the same file."""


class OutputError(BkgflowError):
    """A product that cannot be written where it was asked for."""


class StorageError(OutputError):
    """An output folder that can take no product at all: its disk is full, gone or read-only."""


class LedgerError(OutputError):
    """A campaign's ledger is missing, damaged or newer, or its database does not answer."""


class RunError(BkgflowError):
    """The machinery failed; the same work may succeed when tried again."""

    retryable: ClassVar[bool] = True
