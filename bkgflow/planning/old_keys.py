"""Keys: hashes of what determines a result. Same key, same result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.identity import Identity
from bkgflow.settings import Mode, StepSettings
from bkgflow.version import VERSION

__all__ = ["combined_key", "digest", "fit_key", "unit_key"]


def combined_key(
    settings: StepSettings, window: Window, backgrounds: Iterable[ExposureFacts]
) -> str:
    """Return the key of a combined background: its inputs, window, clip and version.

    One with ERR and one without are two.
    """
    clip = {**settings.numeric(), "errors": settings.with_errors}
    return digest(VERSION, clip, asdict(window), _identities(backgrounds))


def fit_key(
    settings: StepSettings, segments: Iterable[ExposureFacts], references: Sequence[Identity]
) -> str:
    """Return the key of a SOSS fit: its segments, references, settings and version."""
    library = [asdict(identity) for identity in references]
    return digest(VERSION, settings.relevant("soss"), _identities(segments), library)


def unit_key(
    settings: StepSettings, mode: Mode, target: ExposureFacts, what: str, references: Sequence[Any]
) -> str:
    """Return the key of a unit.

    It follows the target, the method's settings, the references, the version, and the key of
    the combined background or fit, or the reason why there is none.
    """
    identity = asdict(target.identity)
    return digest(VERSION, settings.relevant(mode), identity, what, list(references))


def digest(*parts: Any) -> str:
    """Return 32 hexadecimal digits that stand for the parts."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _identities(exposures: Iterable[ExposureFacts]) -> list[Any]:
    return sorted(
        (e.identity.name, e.identity.size, e.identity.mtime_ns, e.path) for e in exposures
    )
