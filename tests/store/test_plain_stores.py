"""Stores that fsspec reaches and that are not S3: what they refuse, and what they do at last."""

from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bkgflow.errors import OutputError
from bkgflow.io.storage import objects
from bkgflow.io.storage.objects import writing_object
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.unwell import ChangedError
from tests.helpers.programs import write_program
from tests.helpers.web import web_of

pytestmark = pytest.mark.slow


class AnswerError(Exception):
    """What packages raise that have errors of their own: no OSError, but the number of HTTP."""

    def __init__(self, code):
        super().__init__(f"an answer of {code}")
        self.code = code


class Moody(MemoryFileSystem):
    """A store in memory that has answers to give before it does anything."""

    protocol = "moody"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    moods: ClassVar = []

    def pipe_file(self, path, value, **words):
        mood = self.moods.pop(0) if self.moods else ""
        if isinstance(mood, int):
            raise AnswerError(mood)
        super().pipe_file(path, value, **words)
        if mood == "lost":
            raise ConnectionResetError("the answer was lost")


@pytest.fixture
def moody():
    fsspec.register_implementation("moody", Moody, clobber=True)
    Moody.store.clear()
    Moody.moods[:] = []
    return Moody


@pytest.mark.parametrize("moods", [[], [503, 429], [500, "lost"], ["lost"]])
@pytest.mark.parametrize("before", [None, objects.ANY])
def test_what_passes_is_tried_again(moods, before, moody, hasty):
    moody.moods += moods
    objects.put(Remote.of("moody://a/b"), b"data", before)
    assert Remote.of("moody://a/b").fetch() == b"data" and not moody.moods


def test_what_is_there_is_not_written_over(moody, hasty):
    remote = Remote.of("moody://a/b")
    objects.put(remote, b"one", None)
    moody.moods.append(503)
    with pytest.raises(ChangedError):
        objects.put(remote, b"two", None)
    assert remote.fetch() == b"one"


def test_a_refusal_is_an_error_of_the_output(moody):
    moody.moods.append(403)
    with pytest.raises(OutputError, match="403: an answer of 403"), writing_object("moody://a/b"):
        objects.put(Remote.of("moody://a/b"), b"data", None)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_output_on_a_web_server_that_takes_nothing_is_said_at_once(ranges, tmp_path, bkgflow_):
    write_program(tmp_path / "prog", targets=1)
    target, sky = (tmp_path / "prog" / each for each in ("t0_rate.fits", "b_rate.fits"))
    with web_of(tmp_path, ranges=ranges) as web:
        out = f"{web.url}/out"
        for words in (
            ("run", tmp_path / "prog", "--output", out),
            ("subtract", target, "--bkg-list", sky, "--output-dir", out),
        ):
            code, _, said = bkgflow_(*words)
            assert code == 2 and said.count("\n") == 1
            assert "501: Unsupported method ('PUT')" in said
