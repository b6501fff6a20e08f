"""YAML as people mean it: 10:00:00 is a text, and a name that is there twice is a mistake."""

from __future__ import annotations

from collections.abc import Hashable

import yaml

__all__ = ["load_plain"]


def load_plain(text: str) -> object:
    """Return what is written, as ``yaml.safe_load`` does, but for numbers of base 60.

    PyYAML takes ``1:30`` for 90, as YAML did before its version 1.2. Of a name that is there twice
    it keeps the last value without a word.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, or a name is there twice.
    """
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    def construct_number(self, node: yaml.ScalarNode) -> object:
        text = str(self.construct_scalar(node))
        return text if ":" in text else self.construct_yaml_int(node)

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        names = [each.value for each, _ in node.value if isinstance(each, yaml.ScalarNode)]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice")
        found: dict[Hashable, object] = super().construct_mapping(node, deep)
        return found


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
