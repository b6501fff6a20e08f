"""Associations: what is parsed, and what is refused with which word."""

import errno
import json
from pathlib import Path

import pytest

from bkgflow.association import load, load_program
from bkgflow.errors import AssociationError, PlanError
from bkgflow.io.storage.location import Location
from tests.helpers.exposures import write_association


def refused(path):
    with pytest.raises(AssociationError) as caught:
        load(path)
    assert caught.value.file == str(path)
    assert caught.value.cure
    return caught.value


def write(tmp_path, content):
    path = tmp_path / "x_asn.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def member(expname, exptype):
    return {"expname": expname, "exptype": exptype}


def test_members_by_kind_in_any_case(tmp_path):
    path = write(
        tmp_path,
        {
            "products": [
                {
                    "name": "p",
                    "members": [
                        member("a_rate.fits", "SCIENCE"),
                        member("b_rate.fits", "Background"),
                        member("sub/c_rate.fits", "background"),
                        member("d_rate.fits", "imprint"),
                    ],
                }
            ]
        },
    )
    (product,) = load(path).products
    assert product.science == Location.of(tmp_path / "a_rate.fits")
    assert product.backgrounds == (
        Location.of(tmp_path / "b_rate.fits"),
        Location.of(tmp_path / "sub" / "c_rate.fits"),
    )
    assert product.others == (("imprint", Location.of(tmp_path / "d_rate.fits")),)


def test_not_there(tmp_path):
    assert "No such file" in refused(tmp_path / "no_asn.json").value


def test_not_json(tmp_path):
    error = refused(write(tmp_path, "{ 'products': "))
    assert "must be JSON" in error.rule
    assert "line 1" in error.value


def test_not_text(tmp_path):
    path = tmp_path / "x_asn.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    assert "UTF-8" in refused(path).value


def test_a_number_that_python_does_not_read(tmp_path):
    path = tmp_path / "x_asn.json"
    path.write_text('{"products": ' + "1" * 5000 + "}")
    assert "must be JSON" in refused(path).rule


@pytest.mark.parametrize("name", ["expname", "name"])
def test_half_characters(tmp_path, name):
    """A lone surrogate can be written in JSON, but neither as a file name nor in a log."""
    members = [{"expname": "t_rate.fits", "exptype": "science"}]
    product = {"name": "p", "members": members}
    (product if name == "name" else members[0])[name] = "t\ud800"
    path = tmp_path / "x_asn.json"
    path.write_text(json.dumps({"products": [product]}))
    error = refused(path)
    assert "whole characters" in error.rule
    assert "ud800" in error.value


@pytest.mark.parametrize("content", [{}, [], {"products": []}, {"products": "a"}, 3])
def test_no_products(tmp_path, content):
    assert "products" in refused(write(tmp_path, content)).rule


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([member("b.fits", "background")], "exactly one science"),
        ([member("a.fits", "science"), member("b.fits", "science")], "exactly one science"),
        ([member("../a.fits", "science")], "association's folder"),
        ([member("/data/a.fits", "science")], "association's folder"),
        ([member("a.fits", "science"), member("x/../../b.fits", "background")], "folder"),
        ([member("a.fits", "science"), member("a.fits", "background")], "own backgrounds"),
        ([member("a\0.fits", "science")], "names that a file can have"),
        ([{"expname": "a.fits"}], "expname and exptype"),
        (["a.fits"], "expname and exptype"),
        (None, "expname and exptype"),
    ],
)
def test_a_bad_product_is_refused_and_its_neighbour_stays(tmp_path, members, word):
    good = {"name": "good", "members": [member("g.fits", "science")]}
    path = write(tmp_path, {"products": [{"name": "bad", "members": members}, good]})
    association = load(path)
    assert [product.name for product in association.products] == ["good"]
    ((name, error),) = association.refused
    assert name == "bad"
    assert word in error.rule
    assert error.file == str(path)
    assert error.cure


def test_repeated_backgrounds_count_once_and_say_so(tmp_path):
    path = write_association(tmp_path / "x_asn.json", [("p", "a.fits", ["b.fits", "b.fits"])])
    (product,) = load(path).products
    assert product.backgrounds == (Location.of(tmp_path / "b.fits"),)
    assert "1 repeated" in product.notes[0]


def test_program_forms(tmp_path):
    first = write_association(tmp_path / "1_asn.json", [("p", "a.fits", [])])
    second = write_association(tmp_path / "2_asn.json", [("q", "b.fits", [])])
    broken = write(tmp_path, "nonsense")
    for program, count in ((tmp_path, 2), ([first, second], 2), (str(first), 1)):
        associations, _ = load_program(program)
        assert len(associations) == count
    _, errors = load_program(tmp_path)
    assert [path for path, _ in errors] == [str(broken)]


def test_a_program_behind_a_url(tmp_path):
    import fsspec

    path = write_association(tmp_path / "1_asn.json", [("p", "a.fits", ["sub/b.fits"])])
    system = fsspec.filesystem("memory")
    system.pipe_file("memory://program/1_asn.json", path.read_bytes())
    for program in ("memory://program", "memory://program/1_asn.json"):
        ((association,), refused) = load_program(program)
        assert refused == [] and association.location.url == "memory://program/1_asn.json"
        (product,) = association.products
        assert str(product.science) == "memory://program/a.fits"
        assert [str(each) for each in product.backgrounds] == ["memory://program/sub/b.fits"]
    with pytest.raises(PlanError, match="no such file or folder"):
        load_program("memory://program/none")


@pytest.mark.parametrize("program", [[], 3])
def test_no_program(program):
    with pytest.raises(PlanError, match="A program must be"):
        load_program(program)


@pytest.mark.parametrize("program", ["a" * 5000, ["a" * 5000]])
def test_a_program_whose_name_is_too_long(program):
    with pytest.raises(PlanError, match="too long"):
        load_program(program)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def forbidden(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(PlanError, match="Permission denied"):
        load_program(tmp_path)


def test_folder_without_associations(tmp_path):
    (tmp_path / "a_rate.fits").touch()
    with pytest.raises(PlanError, match="none of that name"):
        load_program(tmp_path)


@pytest.mark.real
def test_real_associations_all_parse(real_data):
    paths = sorted((real_data / "associations").rglob("*.json"))
    assert len(paths) > 25
    for path in paths:
        association = load(path)
        assert association.products
        assert not association.refused
    nods = load(
        real_data / "associations/pool_024c_nirspec_fss_nods"
        "/Asn_Lv2NRSFSS_01_background12-science1_spec2_asn.json"
    )
    assert len(nods.products[0].backgrounds) == 12
    wfss = load(
        real_data / "associations/pool_019_niriss_wfss"
        "/Asn_Lv2WFSSNIS_01_direct_image1-science1-segmap1-sourcecat1_spec2_asn.json"
    )
    assert sorted(kind for kind, _ in wfss.products[0].others) == [
        "direct_image",
        "segmap",
        "sourcecat",
    ]
