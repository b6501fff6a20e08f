"""Programs on web servers: listed or not, by patterns, with ranges and without."""

import os

import numpy as np
import pytest

import bkgflow
from bkgflow.errors import FileError, PlanError
from bkgflow.io.storage.lists import expanded
from bkgflow.io.storage.location import Location
from tests.helpers.exposures import make_model
from tests.helpers.programs import write_program
from tests.helpers.web import web_of

pytestmark = pytest.mark.slow


@pytest.fixture
def web(tmp_path):
    """A server of a folder with a program in it."""
    write_program(tmp_path / "site" / "prog", targets=2)
    with web_of(tmp_path / "site") as made:
        yield made


def states(result):
    return [each.state.value for each in result.verdicts]


def test_a_list_of_a_folder_that_tells_no_versions_is_none_of_versions(web, tmp_path):
    plan = bkgflow.plan(f"{web.url}/prog/x_asn.json", tmp_path / "out")
    assert [unit.verdict.state.value for unit in plan.units] == ["PLANNED"] * 2
    assert states(bkgflow.run(plan, "threads")) == ["COMPLETE"] * 2


def test_a_file_without_an_etag_is_known_by_when_it_was_changed(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    with web_of(tmp_path, ranges=False) as web:
        before = Location.of(f"{web.url}/a.txt").identity()
        (tmp_path / "a.txt").write_text("two")
        os.utime(tmp_path / "a.txt", (1e9, 1e9))
        after = Location.of(f"{web.url}/a.txt").identity()
    assert before.size == after.size == 3
    assert before.mtime_ns > after.mtime_ns == 10**18


def test_a_web_server_that_is_down_is_said_to_be(hasty, tmp_path):
    with web_of(tmp_path) as web:
        pass
    with pytest.raises(PlanError, match="the store did not do it in 8 attempts"):
        bkgflow.plan(f"{web.url}/x_asn.json", tmp_path / "out")


def units_of(plan):
    return [(unit.target.name, unit.output, unit.verdict.state.value) for unit in plan.units]


def test_a_program_has_the_same_units_however_it_is_named(web, tmp_path):
    out, url = tmp_path / "out", f"{web.url}/prog"
    wanted = units_of(bkgflow.plan(tmp_path / "site" / "prog", out))
    (tmp_path / "site" / "prog" / "list.txt").write_text("x_asn.json\n")
    for program in (f"{url}/*_asn.json", f"{url}/x_asn.json?token=[*]", f"@{url}/list.txt"):
        assert units_of(bkgflow.plan(program, out)) == wanted
    sky = f"{url}/b_rate.fits?token=a/b*"
    for program in (f"{url}/t[0-9]_rate.fits", [f"{url}/t{n}_rate.fits?token=1" for n in (0, 1)]):
        assert units_of(bkgflow.plan(program, out, bkg_list=sky)) == wanted


def test_a_server_that_lists_nothing_has_no_files_for_a_pattern(web, tmp_path):
    with pytest.raises(PlanError, match="which its server must list"):
        bkgflow.plan(f"{web.url}/none/*.json", tmp_path / "out")


@pytest.mark.parametrize("folder", ["prog", "prog/"])
def test_a_page_is_no_association(folder, web, tmp_path):
    [unit] = bkgflow.plan(f"{web.url}/{folder}", tmp_path / "out").units
    assert unit.verdict.error.value == "a page (HTML)"
    assert "by a pattern (…/*_asn.json) where it lists them" in unit.verdict.error.cure


@pytest.mark.parametrize(
    ("url", "folder", "name"),
    [
        ("https://a.b/c/d_rate.fits", "https://a.b/c", "d_rate.fits"),
        ("https://a.b/c/d_rate.fits?X-Amz-Credential=e/f.g", "https://a.b/c", "d_rate.fits"),
        ("https://a.b/file?uri=mast:JWST/product/d.fits", "https://a.b", "d.fits"),
        ("https://a.b/file?uri=mast%3AJWST%2Fproduct%2Fd.fits", "https://a.b", "d.fits"),
        ("https://a.b/file?token=1", "https://a.b", "file"),
        ("s3://a/b?c/d?e.fits", "s3://a/b?c", "d?e.fits"),
    ],
)
def test_a_query_is_no_part_of_a_name(url, folder, name):
    assert Location.of(url).name == name and Location.of(url).parent == Location.of(folder)


def test_a_server_without_ranges_is_said_to_have_none_before_anything_is_fetched(tmp_path):
    with make_model(np.ones((200, 200), np.float32)) as model:
        model.save(str(tmp_path / "a_rate.fits"))
    with web_of(tmp_path, ranges=False) as web:
        for ask in (bkgflow.open_exposure, lambda url: bkgflow.subtract(url, [url])):
            web.requests.clear()
            with pytest.raises(FileError, match="it ignores the header Range") as caught:
                ask(f"{web.url}/a_rate.fits")
            assert caught.value.cure.startswith("Copy it to a disk")
            assert [each[0] for each in web.requests].count("GET") == 1


def test_a_server_without_ranges_gives_small_files(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    with web_of(tmp_path, ranges=False) as web, Location.of(f"{web.url}/a.bin").open() as stream:
        assert stream.read() == bytes(range(256))


def test_what_has_no_size_is_not_taken_for_an_empty_file(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"SIMPLE")
    said = pytest.raises(FileError, match="does not tell how large it is")
    with web_of(tmp_path, sizes=False) as web, said:
        bkgflow.open_exposure(f"{web.url}/a.fits")


@pytest.mark.parametrize("page", ["", "<html><a href='about.html'>About</a></html>"])
def test_members_are_found_on_a_server_that_does_not_list_them(page, tmp_path):
    write_program(tmp_path / "prog", targets=1)
    if page:
        (tmp_path / "prog" / "index.html").write_text(page)
    with web_of(tmp_path, lists=False) as web:
        plan = bkgflow.plan(f"{web.url}/prog/x_asn.json", tmp_path / "out")
    assert [unit.verdict.state.value for unit in plan.units] == ["PLANNED"]


def test_a_list_on_a_server_that_tells_no_sizes_is_read(tmp_path):
    (tmp_path / "list.txt").write_text("a.fits\nb.fits\n")
    with web_of(tmp_path, sizes=False) as web:
        assert expanded(f"@{web.url}/list.txt") == [f"{web.url}/{each}.fits" for each in "ab"]
