"""Targets that are damaged: an error that names them, and nothing left behind."""

from __future__ import annotations

import errno
import gzip
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from bkgflow.errors import FileError
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import Changes
from bkgflow.io.storage.location import Location
from tests.helpers.products import DONE, LOWERED, target_of


@dataclass(frozen=True)
class Faulty(Location):
    """A file whose pixels cannot be read."""

    @contextmanager
    def open(self):
        with super().open() as stream:
            yield _Faulty(stream)


class _Faulty:
    def __init__(self, stream):
        self._stream, self.name = stream, stream.name

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def readinto(self, buffer):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_source_is_not_the_output_folders(write_exposure, tmp_path, threads):
    path = write_exposure("t_rate.fits", np.ones((64, 64)))
    target = target_of(path)
    target.location = Faulty(str(path))
    out = tmp_path / "out"
    with (
        FitsWriter().open(target) as opened,
        pytest.raises(FileError, match="Input/output error") as caught,
    ):
        opened.product(LOWERED, DONE, Location.of(out / "out.fits"), threads)
    assert caught.value.file == str(path)
    assert isinstance(caught.value.__cause__, OSError)  # so that it is tried again
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "bits"])
@pytest.mark.parametrize("when", ["before", "between"])
def test_damaged_gzip_files(write_exposure, tmp_path, damage, when):
    noise = np.random.default_rng(0).normal(size=(64, 64))
    path = write_exposure("t_rate.fits", noise)
    packed = tmp_path / "t_rate.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    raw = bytearray(packed.read_bytes())
    if damage == "cut":
        del raw[-900:]
    else:
        raw[len(raw) // 2] ^= 0xFF
    if when == "before":
        packed.write_bytes(raw)
    with (
        pytest.raises(FileError) as caught,
        FitsWriter().open(target_of(packed, noise.shape)) as opened,
    ):
        packed.write_bytes(raw)
        opened.product(LOWERED, DONE, Location.of(tmp_path / "out.fits"))
    assert "t_rate.fits.gz" in str(caught.value)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("edited", [True, False])
def test_a_file_that_was_cut_leaves_nothing_behind(write_exposure, tmp_path, edited, threads):
    path = write_exposure("t_rate.fits", np.ones((512, 512)))
    out = tmp_path / "out"
    with FitsWriter().open(target_of(path)) as opened:
        with path.open("r+b") as stream:
            stream.truncate(600_000)
        with pytest.raises(FileError, match="as long as the header says"):
            changes = LOWERED if edited else Changes()
            opened.product(changes, DONE, Location.of(out / "t_bsub.fits"), threads)
    assert list(out.iterdir()) == []


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "t_rate.fits"
    path.write_text("not FITS at all")
    with (
        pytest.raises(FileError, match="must be a FITS file"),
        FitsWriter().open(target_of(path, (6, 6))),
    ):
        pass
