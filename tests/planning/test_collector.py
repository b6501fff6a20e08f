"""The garbage collector is put off while a program is planned, and never for longer."""

import gc

import pytest

import bkgflow
from bkgflow.planning.collector import put_off
from bkgflow.planning.planner import Planner
from tests.helpers.exposures import make_model, write_association


@pytest.fixture(autouse=True)
def enabled():
    """Leave it as other tests want it."""
    gc.enable()
    yield
    gc.enable()


def test_it_is_off_meanwhile_and_on_afterwards():
    with put_off():
        assert not gc.isenabled()
        with put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error():
    with pytest.raises(ZeroDivisionError), put_off():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_who_has_turned_it_off_keeps_it_off():
    gc.disable()
    with put_off():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_a_program_is_planned_without_it(tmp_path, monkeypatch):
    for name in ("t_rate.fits", "b_rate.fits"):
        with make_model([[1.0]]) as model:
            model.save(str(tmp_path / name))
    write_association(tmp_path / "a_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    seen, known = [], Planner.known

    def looking(self, location):
        seen.append(gc.isenabled())
        return known(self, location)

    monkeypatch.setattr(Planner, "known", looking)
    plan = bkgflow.plan(tmp_path / "a_asn.json", tmp_path / "out")
    assert len(plan.units) == 1
    assert seen
    assert not any(seen)
    assert gc.isenabled()


def test_a_program_that_is_none_leaves_it_on(tmp_path):
    with pytest.raises(bkgflow.BkgflowError):
        bkgflow.plan(tmp_path / "nothing", tmp_path / "out")
    assert gc.isenabled()
