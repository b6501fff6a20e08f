"""Facts of exposures that an earlier run has looked at, kept beside its products.

Headers are most of what planning costs. A file that is still the version it was has the facts it
had: they are taken from one file instead of thousands. It is a cache alone: whoever removes it
loses time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.util import find_spec

from pydantic import TypeAdapter, ValidationError

from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import FORMATS
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import write_text

__all__ = ["FACTS_FILE", "KeptFacts"]

FACTS_FILE = "bkgflow-facts.jsonl"
"""Its name in an output folder: a line that says who wrote it, then two for each exposure, which
version of which file it is, and its facts."""

MAKERS = ("bkgflow.io.exposures", "bkgflow.io.fits", "bkgflow.io.zarr", "bkgflow.detector",
          "bkgflow.matching")  # fmt: skip
"""The modules whose code decides what the facts of a file are."""


@dataclass(frozen=True, slots=True)
class KeptFacts:
    """The facts of files as an earlier run found them.

    Attributes
    ----------
    found : dict
        By the location, which version of the file was looked at, and its facts in JSON.
    """

    found: dict[Location, tuple[Identity, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Location) -> KeptFacts:
        """Read what an output folder has; nothing where it has none that this bkgflow wrote."""
        try:
            head, *lines = (folder / FACTS_FILE).read_text().splitlines()
            if head != _head():
                return cls()
            versions = (json.loads(line) for line in lines[::2])
            return cls(
                {
                    Location(url): (Identity(*identity), text)
                    for (url, *identity), text in zip(versions, lines[1::2], strict=True)
                }
            )
        except (BkgflowError, ValueError, TypeError):  # none is there, or what is there is damaged
            return cls()

    def get(self, location: Location) -> ExposureFacts | None:
        """Return the facts of a file; None where they are not known of the version that is there.

        Raises
        ------
        FileError
            If they are known, and the file is not there any more.
        """
        identity, text = self.found.get(location, (None, ""))
        if identity is None:
            return None
        now = location.identity()
        if now.differs(identity):
            return None
        try:
            facts = _adapter().validate_json(text)
        except (ValidationError, BkgflowError):
            return None
        return replace(facts, identity=now) if facts.location == location else None

    def keep(self, folder: Location, exposures: Iterable[ExposureFacts]) -> None:
        """Write those of a plan into an output folder, unless these are just what is there.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        files = [each for each in exposures if each.source.format in FORMATS]
        versions = {each.location: each.identity for each in files}
        if versions == {location: identity for location, (identity, _) in self.found.items()}:
            return
        lines = [_head()]
        for each in files:
            one = each.identity
            lines.append(
                json.dumps([each.location.url, one.name, one.size, one.mtime_ns, one.checksum])
            )
            lines.append(_adapter().dump_json(each).decode())
        write_text(folder / FACTS_FILE, "\n".join(lines) + "\n")


@cache
def _adapter() -> TypeAdapter[ExposureFacts]:
    return TypeAdapter(ExposureFacts)


@cache
def _head() -> str:
    """Return the first line: the code that makes facts may change without a new version."""
    digest = sha256()
    for name in MAKERS:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        module = Location.of(spec.origin)
        files = module.parent.listing() if module.name == "__init__.py" else [module]
        for each in files:
            if each.suffix == ".py":
                digest.update(each.read_bytes())
    return json.dumps({"facts": digest.hexdigest()})
