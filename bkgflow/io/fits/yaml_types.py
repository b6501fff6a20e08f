"""YAML as trees of ASDF are written in: read and written with the types of scalars remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import yaml

__all__ = ["Dumper", "Loader"]

_FastLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FastDumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Remembering:
    """Knows which type a scalar has by its looks: the files of a program have the same ones."""

    def resolve(self, kind: type[yaml.Node], value: object, implicit: Sequence[bool] | bool) -> str:
        """Return the tag of a node: by its looks where it is a plain scalar, else by its kind."""
        plain = kind is yaml.ScalarNode and not isinstance(implicit, bool) and implicit[0]
        return _tag_of(str(value)) if plain else _TAGS[kind]


class Loader(_Remembering, _FastLoader):  # type: ignore[misc,valid-type]
    """Reads as yaml's own safe loader does."""


class Dumper(_Remembering, _FastDumper):  # type: ignore[misc,valid-type]
    """Writes as yaml's own safe dumper does."""


_RESOLVER = yaml.resolver.Resolver()
_TAGS: Mapping[type[yaml.Node], str] = {
    yaml.ScalarNode: _RESOLVER.DEFAULT_SCALAR_TAG,
    yaml.SequenceNode: _RESOLVER.DEFAULT_SEQUENCE_TAG,
    yaml.MappingNode: _RESOLVER.DEFAULT_MAPPING_TAG,
}


@lru_cache(maxsize=1 << 14)
def _tag_of(scalar: str) -> str:
    tag = _RESOLVER.resolve(yaml.ScalarNode, scalar, (True, False))  # type: ignore[no-untyped-call]
    return str(tag)
