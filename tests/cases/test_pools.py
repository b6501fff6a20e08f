"""Whole programs as the association generator makes them: one product for every exposure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.pools import backgrounds, generate, peer_pools, science, write_exposures
from tests.helpers.program_folders import products, result, run


def check(pool, folder, output, *options):
    """Run all that the generator makes of a pool; nothing may be lost, and nothing be silent."""
    write_exposures(folder, generate(pool, folder, *options))
    ended = run(folder, output, "--override-bkg=N/A", "--quiet")
    assert ended.code == 0, ended.out
    wanted = {name.replace("_rate", "_bsub") for name in science(folder)}
    assert wanted
    assert set(products(output)) == wanted
    said = result(output)
    assert len(said["units"]) == len(wanted)
    named = {unit["association"] for unit in said["units"]}
    named |= {each["file"] for each in said["passed_over"]}
    assert named == {str(path) for path in folder.glob("*.json")}
    level_3 = [each for each in said["passed_over"] if "level 3" in each["reason"]]
    kinds = [json.loads(path.read_text())["asn_type"] for path in folder.glob("*.json")]
    assert len(level_3) == sum(kind.endswith("3") for kind in kinds)
    return said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pool", peer_pools(), ids=lambda path: path.stem)
def test_every_exposure_of_a_pool_ends_with_a_product(pool, tmp_path):
    said = check(pool, tmp_path / "program", tmp_path / "out")
    assert all("level 3" in each["reason"] for each in said["passed_over"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["pool_010_spec_nirspec_lv2bkg", "pool_018_all_exptypes"])
def test_candidates_that_the_generator_has_not_pruned_yet_are_told_apart(name, tmp_path):
    """The observation without a background, and the same exposure with one."""
    [pool] = (path for path in peer_pools() if path.stem == name)
    said = check(pool, tmp_path / "program", tmp_path / "out", "--no-finalize")
    assert any(each["instead"] for each in said["passed_over"])
    generate(pool, tmp_path / "pruned")
    ours = backgrounds(Path(unit["association"]) for unit in said["units"])
    theirs = backgrounds((tmp_path / "pruned").glob("*2_0*.json"))
    assert theirs == {name: ours[name] for name in theirs}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.real
@pytest.mark.timeout(1800)
def test_every_exposure_of_the_real_pools_ends_with_a_product(real_data, tmp_path):
    pools = sorted((real_data / "pools").glob("*.csv"))
    assert pools
    for pool in pools:
        check(pool, tmp_path / pool.stem, tmp_path / "out" / pool.stem)
