"""Which tasks of shared results only take something out of another's result."""

from __future__ import annotations

import pytest

import bkgflow
from bkgflow import simulate
from bkgflow.graph.build import PlannedWork


@pytest.mark.slow
@pytest.mark.parametrize("points", [3, 5])
def test_those_that_unpack_a_family_are_light_and_no_others(points, tmp_path):
    program = simulate.simulate_nods(tmp_path / "nods", points=points, size=64)
    work = PlannedWork(bkgflow.plan(program.folder, tmp_path / "out"))
    parts = work.parts(dict.fromkeys(map(work.shared, work.units)))
    given = {key for key, (_, *upstream) in parts.tasks.items() if upstream}
    assert parts.light == given
    assert given == {key for keys in parts.keys.values() for key in keys}
    assert len(parts.keys) == points


@pytest.mark.slow
def test_a_single_background_has_no_light_task(tmp_path):
    program = simulate.simulate_imaging(tmp_path / "one", targets=2, backgrounds=3, size=64)
    work = PlannedWork(bkgflow.plan(program.folder, tmp_path / "out"))
    parts = work.parts(dict.fromkeys(map(work.shared, work.units)))
    assert parts.tasks
    assert not parts.light
