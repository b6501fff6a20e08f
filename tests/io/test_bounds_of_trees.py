"""Trees that would have somebody read, or fetch, another file are refused, however they say it."""

from __future__ import annotations

import pytest

from bkgflow.errors import FileError
from bkgflow.io.fits import bounds
from bkgflow.io.fits.bounds import check_tree

HEAD = b"#ASDF 1.0.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
GOOD = b"sci: !core/ndarray-1.1.0\n  source: fits:SCI,1\n  shape: [4]\n"

ELSEWHERE = [
    b"mine: !core/ndarray-1.1.0\n  source: http://example.org/x.asdf\n  shape: [4]\n",
    b"mine: !core/ndarray-1.1.0\n  source : http://example.org/x.asdf\n",
    b"mine: !core/ndarray-1.1.0\n  'source': ../other.asdf\n",
    b'mine: !core/ndarray-1.1.0\n  "source": /etc/passwd\n',
    b'mine: !core/ndarray-1.1.0\n  "sou\\x72ce": /etc/passwd\n',
    b"mine: !core/ndarray-1.1.0 {source: other.asdf, shape: [4]}\n",
    b"mine: !core/ndarray-1.1.0\n  ? source\n  : other.asdf\n",
    b"mine: !core/ndarray-1.1.0\n  source:\n    other.asdf\n",
    b"mine: !core/ndarray-1.1.0\n  source: !!str other.asdf\n",
    b"mine: !core/ndarray-1.1.0\n  source: &here other.asdf\n",
    b"kept: &there other.asdf\nmine: !core/ndarray-1.1.0\n  source: *there\n",
    b"note: |\n  source: fits:ERR,1\nmine: !core/ndarray-1.1.0\n  source: 0.asdf\n",
]


@pytest.mark.parametrize("mine", ELSEWHERE, ids=range(len(ELSEWHERE)))
@pytest.mark.parametrize("before", [b"", GOOD])
def test_an_array_somewhere_else_is_refused(mine, before):
    with pytest.raises(FileError, match=r"an array in"):
        check_tree(HEAD + before + mine + b"...\n", "x.fits")


PLAIN = [
    GOOD,
    GOOD + b"err: !core/ndarray-1.1.0\n  source: 0\n  shape: [4]\n",
    GOOD + b"meta: {target: {source_type: POINT, source_id: 3}, resource: none}\n",
    GOOD.replace(b"\n", b"\r\n"),
]


@pytest.mark.parametrize("text", PLAIN, ids=range(len(PLAIN)))
def test_what_everybody_writes_is_taken_without_another_parse(text, monkeypatch):
    monkeypatch.setattr(bounds.yaml, "compose", None)
    check_tree(HEAD + text + b"...\n", "x.fits")


@pytest.mark.parametrize("source", [b"-1", b"fits:EXTRA,2", b"'fits:SCI,1'"])
def test_other_places_within_the_file_are_taken(source):
    check_tree(HEAD + GOOD + b"x: !core/ndarray-1.1.0 {source: " + source + b"}\n...\n", "x.fits")


def test_a_tree_is_looked_at_once_and_one_that_is_refused_every_time(monkeypatch):
    looked = []
    monkeypatch.setattr(bounds.yaml, "compose", lambda *_, **__: looked.append(1))
    for number in range(2):
        check_tree(HEAD + b"a: &x [1]\nb: *x\n" + b"# mine\n...\n", f"{number}.fits")
    assert len(looked) == 1
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(FileError, match="an array in"):
            check_tree(HEAD + ELSEWHERE[0] + b"...\n", "x.fits")


def test_so_many_trees_are_remembered_and_no_more(monkeypatch):
    looked = []
    monkeypatch.setattr(bounds.yaml, "compose", lambda *_, **__: looked.append(1))
    for number in (*range(bounds.KNOWN + 2), 0):
        check_tree(HEAD + b"a: &x [%d]\nb: *x\n...\n" % number, "x.fits")
    assert len(looked) == bounds.KNOWN + 3
