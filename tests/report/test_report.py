"""Tables and pictures: what is read from plans, verdicts and products."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import bkgflow
from bkgflow.errors import InputError, OutputError
from bkgflow.plot.products import found_in
from bkgflow.record import ImageFound, Record, SossFound
from bkgflow.report.drawing import draw_product
from bkgflow.report.tables import as_text, human_bytes, make_table
from bkgflow.report.unit_tables import remarks
from bkgflow.verdict import State, Verdict
from tests.helpers.exposures import make_model, write_association

LAYOUT_1 = {
    "version": "0.5.0",
    "key": "0123456789abcdef0123456789abcdef",
    "background_key": "fedcba9876543210fedcba9876543210",
    "association": "x_asn.json",
    "backgrounds": [],
    "settings": {"soss_fit": "exposure", "soss_bkg_percentile": [25.0, 50.0]},
    "notes": [],
    "outcome": "COMPLETE",
    "reason": "",
    "template": 2,
    "left_scale": 0.9,
    "right_scale": [1.1, 1.2, 1.3],
    "left_scale_random_error": 0.01,
    "right_scale_random_error": [0.02, 0.03, 0.04],
    "source_threshold": 12.5,
    "template_rms": [[0.1, 0.2], [0.1, 0.2]],
    "fit_pixels": [1000, 2000],
    "fit_segments": 1,
    "fit_notes": [],
}
"""What a SOSS product says of itself in the layout before the present one."""


def write(path, record, shape=(3, 8, 20)):
    with make_model(np.full(shape, 5.0)) as model:
        model.meta.bkgflow = record
        model.meta.exposure.integration_start = 4
        model.save(str(path))
    return path


def test_a_product_of_the_first_layout_is_read(tmp_path):
    found, first, n = found_in(write(tmp_path / "t_bsubints.fits", LAYOUT_1))
    assert isinstance(found, SossFound)
    assert (first, n) == (4, 3)
    assert found.source_threshold == 12.5
    assert found.right_scale == (1.1, 1.2, 1.3)
    assert found.template_rms == ((0.1, 0.2), (0.1, 0.2))


@pytest.mark.parametrize(
    ("found", "kind"),
    [(ImageFound(3, ("b.fits",)), ImageFound), (SossFound(left_scale=(1.0, 2.0)), SossFound)],
)
def test_a_product_of_this_layout_is_read(tmp_path, found, kind):
    verdict = Verdict(State.COMPLETE, record=Record("1", found=found))
    read, _, _ = found_in(write(tmp_path / "t_bsubints.fits", verdict.to_tree()))
    assert isinstance(read, kind)
    assert read == found


def test_a_file_that_says_nothing_of_itself(tmp_path):
    with make_model(np.full((8, 20), 5.0)) as model:
        model.save(str(tmp_path / "t_rate.fits"))
    assert found_in(tmp_path / "t_rate.fits") == (None, 1, 1)


@pytest.mark.slow
def test_a_picture_appears_whole_or_not_at_all(tmp_path, write_exposure):
    before = write_exposure("t_rate.fits", np.arange(400.0).reshape(20, 20))
    after = write_exposure("t_bsub.fits", np.arange(400.0).reshape(20, 20) - 9)
    picture = draw_product(before, after, tmp_path / "pictures" / "t.png")
    assert matplotlib.image.imread(picture).shape[1] > 100
    assert [path.name for path in picture.parent.iterdir()] == ["t.png"]
    with pytest.raises(OutputError, match="t_rate"):
        draw_product(before, after, before / "t.png")
    with pytest.raises(InputError, match="gone"):
        draw_product(before, tmp_path / "gone_bsub.fits", picture)
    assert picture.exists()


def test_remarks_are_sentences():
    def of(found):
        return remarks(Verdict(State.COMPLETE, record=Record("1", found=found)))

    assert of(ImageFound()) == of(SossFound()) == of(None) == []
    assert of(ImageFound(2, ("a.fits", "b.fits"))) == [
        "2 pixels have no valid background and are valid in the target",
        "no valid pixel in a.fits, b.fits",
    ]


def test_cells_are_shown_as_they_are():
    table = make_table("Title", ("A", "B"), [("[red]x", Path("a[1].fits"))], caption="end")
    text = as_text(table)
    assert "[red]x" in text and "a[1].fits" in text
    assert text.splitlines()[0].strip() == "Title"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 51, "2048.0 TiB"),
    ],
)
def test_bytes_with_a_unit(number, words):
    assert human_bytes(number) == words


def test_a_result_says_in_a_few_lines_how_it_went(tmp_path):
    plan = bkgflow.plan(_program(tmp_path), tmp_path / "out")
    assert str(plan).splitlines()[0].startswith("Plan of 8 units (8 QUARANTINED) into ")
    text = str(bkgflow.run(plan, cluster="threads"))
    assert text.startswith("8 units: 8 QUARANTINED\n")
    assert text.count("must be a readable file") == 1
    assert "8 units QUARANTINED: " in text
    assert text.endswith("Files: p0_rate.fits, p1_rate.fits, p2_rate.fits and 5 more")


def _program(folder):

    products = [(f"p{i}", f"p{i}_rate.fits", []) for i in range(8)]
    return write_association(folder / "x_asn.json", products)
