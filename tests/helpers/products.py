"""Products made by writers and by hand, and what tells one from the other."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from stdatamodels.fits_support import fits_hash, from_fits_asdf
from stdatamodels.jwst import datamodels

from bkgflow.detector import Window
from bkgflow.io.models import open_model, save_model
from bkgflow.io.products.describe import describe
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.headers_from_file import as_written
from bkgflow.io.products.writer import Changes
from bkgflow.io.storage.location import Location
from bkgflow.record import Record, SossFound
from bkgflow.verdict import State, Verdict

WHEN = ["DATE", "FILENAME"]

DONE = Verdict(
    State.COMPLETE,
    record=Record(
        "1",
        backgrounds=("a_rate.fits", "b_rate.fits"),
        settings={"sigma": 3.0, "maxiters": None, "save": False, "small": 1e-7, "third": 1 / 3},
        association="yes: 'no' – × # ~ " + "long " * 40,
        found=SossFound(left_scale=(0.1, 1e-7, float("inf"), 1 / 3)),
    ),
)


def lower(pixels, integration, rows):
    pixels -= 1 + integration


def flag(pixels, integration, rows):
    pixels |= np.uint32(1 << 31 | 4)


LOWERED = Changes({"SCI": lower, "DQ": flag})


def target_of(path, shape=None):
    """What a writer has to know of a file."""
    shape = fits.getdata(path, "SCI").shape if shape is None else shape
    window = Window(0, 0, shape[-1], shape[-2])
    return SimpleNamespace(location=Location.of(path), window=window)


def write(path, product, changes=LOWERED, verdict=DONE, threads=1, writer=None, shape=None):
    """Write a product; return its path."""
    with (writer or FitsWriter()).open(target_of(path, shape)) as opened:
        draft = opened.product(changes, verdict, Location.of(product), threads)
    draft.publish()
    return product


def save_whole(path, product, changes=LOWERED, verdict=DONE):
    """Do the same by hand, to the whole model."""
    with warnings.catch_warnings(), open_model(path) as model:
        warnings.simplefilter("ignore")
        describe(model, verdict, Changes(imprint=changes.imprint))
        if changes.mask is not None:
            model.mask = changes.mask
        if changes.scaling_factor is not None:
            model.meta.background.scaling_factor = changes.scaling_factor
        cube = model.data if model.data.ndim == 3 else model.data[None]
        for i, plane in enumerate(cube):
            lower(plane, i, None)
        flag(model.dq, 0, None)
        save_model(model, product)
    return product


def write_both(path, folder, *, amended=None, threads=1, changes=LOWERED, writer=None):
    """Make a product of a file by the writer and by its whole model."""
    written = as_written(Location.of(path))
    takes = written is not None and written.takes(changes)
    assert takes is amended or amended is None
    streamed = write(path, folder / "streamed.fits", changes, threads=threads, writer=writer)
    return streamed, save_whole(path, folder / "as_model.fits", changes)


def lasting(flat):
    """A model's tree without what says when it was written and by which name."""
    volatile = ("meta.date", "meta.filename", "_fits_hash", "asdf_library.version")
    return {
        key: str(value) if key == "meta.wcs" else value
        for key, value in flat.items()
        if key not in volatile and not key.endswith(".time")
    }


def assert_same(streamed, whole):
    difference = fits.FITSDiff(
        str(streamed), str(whole), ignore_keywords=WHEN, ignore_hdus=["ASDF"]
    )
    assert difference.identical, difference.report()
    assert streamed.stat().st_size == whole.stat().st_size
    assert_opens_the_same(streamed, whole)
    # Headers card by card, blank ones and their places too.
    with fits.open(streamed) as one, fits.open(whole) as other:
        for hdu, wanted in zip(one[:-1], other[:-1], strict=True):
            cards = [list(map(str, each.header.cards)) for each in (hdu, wanted)]
            ours, theirs = ([c for c in each if c[:8].strip() not in WHEN] for each in cards)
            assert ours == theirs


def assert_opens_the_same(streamed, whole):
    """Two products are the same data model, whatever their files look like."""
    with (
        warnings.catch_warnings(),
        datamodels.open(str(streamed)) as one,
        datamodels.open(str(whole)) as other,
    ):
        warnings.simplefilter("ignore")
        assert type(one) is type(other)
        flat, expected = (model.to_flat_dict(include_arrays=False) for model in (one, other))
        assert lasting(flat) == lasting(expected)
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.dq, other.dq)


def asdf_of(path):
    """What is in a file's ASDF extension."""
    return fits.getdata(path, "ASDF")["ASDF_METADATA"].tobytes()


def tree_text(path):
    """The ASDF extension's YAML without what says when and by which name."""
    raw = asdf_of(path)
    text = raw[: raw.index(b"\n...")].decode()
    return re.sub(r"(time|date|filename|_fits_hash): [^,}\n]*", "", text)


def add_extra(path, array, cards):
    """Put an extension of the user's own before the tree."""
    with fits.open(path) as units:
        unit = fits.ImageHDU(array, name="XTRA")
        unit.header.update(cards)
        units.insert(len(units) - 1, unit)
        units.writeto(path, overwrite=True)


def rehash(path):
    """Have a file say that nobody touched its headers."""
    with fits.open(path) as units:
        old, new = from_fits_asdf(units)["_fits_hash"], fits_hash(units)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))


SKY = Changes(
    LOWERED.edits,
    mask=np.arange(128 * 128, dtype="u4").reshape(128, 128) % 3 % 2,
    scaling_factor=1 / 3,
)


def saved(path, product, change):
    """A file that stdatamodels wrote, after a change of its model."""
    with warnings.catch_warnings(), open_model(path) as model:
        warnings.simplefilter("ignore")
        change(model)
        model.save(str(product))
    return product
