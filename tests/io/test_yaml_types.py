"""YAML with the types of scalars remembered is what yaml itself reads and writes."""

import io

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.io.fits.yaml_types import Dumper, Loader

LOOKS = [
    "", "yes", "No", "on", "null", "~", "1", "-1", "0x1f", "0b1", "017", "1_000", "1.5", "1e3",
    "1.e+3", ".inf", "-.INF", ".nan", "1:30", "2001-12-14", "2001-12-14T21:59:43.10-05:00", "<<",
    "=", "a: b", "# a", "- a", "'", '"', "!", "é", "a\nb", " a ", "1.2.3", "fits:SCI,1",
]  # fmt: skip

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from(LOOKS) | st.datetimes()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(VALUES)
def test_what_is_written_is_what_yaml_writes_and_reads(value):
    text = yaml.dump(value, Dumper=Dumper, allow_unicode=True)
    assert text == yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True)
    assert yaml.load(text, Loader=Loader) == yaml.load(text, Loader=yaml.CSafeLoader)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["{}", "'{}'", "!!str {}", "[{}, {}]", "{{a: {}}}", "!mine {}"])
@pytest.mark.parametrize("looks", LOOKS)
def test_every_looks_has_the_tag_that_yaml_gives_it(looks, style):
    text = style.replace("{}", looks).replace("{{", "{").replace("}}", "}")
    assert told(text, Loader) == told(text, yaml.CSafeLoader)


def told(text, loader):
    """The nodes of a text with their tags, serialized again; or why it is none."""
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as problem:
        return str(problem)
    if node is None:
        return None
    out = io.StringIO()
    yaml.serialize(node, out, Dumper=Dumper if loader is Loader else yaml.CSafeDumper)
    return repr(node), out.getvalue()
