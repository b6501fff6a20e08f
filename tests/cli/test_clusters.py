"""``bkgflow clusters``: what there is, what it means, whether it works."""

import pytest


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    folder = tmp_path / "profiles"
    folder.mkdir()
    monkeypatch.setenv("BKGFLOW_CLUSTERS", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (folder / "site.yaml").write_text("kind: slurm\nqueue: normal\ncores: 2\n")
    (folder / "wrong.yaml").write_text("kind: slurm\nqueu: normal\n")
    return folder


def test_list_shows_kinds_and_profiles_and_what_is_wrong_with_one(profiles, bkgflow_):
    code, out, _ = bkgflow_("clusters", "list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if line.strip()][:2] == ["local", "threads"]
    assert f"{'site':<20} {'slurm':<12} {profiles / 'site.yaml'}" in lines
    assert "Use queue" in lines[-1]


def test_a_profile_that_is_wrong_leaves_the_list_whole(profiles, bkgflow_):
    for name, setting in {"a": "cores: four", "b": "wait: 2020-13-45", "c": "kind: pbs"}.items():
        (profiles / f"{name}.yaml").write_text(f"kind: slurm\n{setting}\n")
    code, out, _ = bkgflow_("clusters", "list")
    assert code == 0
    for words in ("cores: 'four'", "month must be in 1..12", "kind is there twice", "site.yaml"):
        assert words in out


def test_show_says_all_settings_and_the_jobs(profiles, bkgflow_):
    code, out, _ = bkgflow_("clusters", "show", "site", "--slurm-account", "me")
    assert code == 0
    jobs = ("#SBATCH -A me", "#SBATCH -p normal", "#SBATCH --cpus-per-task=2")
    for line in ("kind: slurm", "queue: normal", "account: me", *jobs):
        assert line in out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["threads", "local"])
def test_check_has_a_small_unit_done_and_leaves_nothing(cluster, folder, bkgflow_):
    before = sorted(folder.iterdir())
    code, out, err = bkgflow_("clusters", "check", cluster)
    assert (code, err) == (0, "")
    assert "unit: {'COMPLETE': 1}" in out
    assert out.splitlines()[-1].startswith("ended: ")
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_check_of_an_address_says_versions_memory_and_folders(cluster, folder, tmp_path, bkgflow_):
    code, out, _ = bkgflow_("clusters", "check", cluster, "--folder", folder / "program")
    assert code == 0
    assert "python 3." in out and "bkgflow " in out and "memory: 4" in out
    assert f"folder: {folder / 'program'}: seen" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere"], ["nowhere", "clusters list"]),
        (["show", "wrong"], ["wrong.yaml", "queu", "Use queue"]),
        (["check", "tcp://127.0.0.1:1"], ["tcp://127.0.0.1:1"]),
        (["check", "threads", "--slurm-queue", "x"], ["slurm_queue=x"]),
    ],
)
def test_what_is_wrong_ends_with_a_word(words, said, profiles, folder, bkgflow_):
    code, _, err = bkgflow_("clusters", *words)
    assert code == 2
    for word in said:
        assert word in err


@pytest.mark.slow
def test_check_says_which_folder_a_worker_does_not_see(cluster, folder, bkgflow_):
    code, _, err = bkgflow_("clusters", "check", cluster, "--folder", folder / "nowhere")
    assert code == 2
    assert "nowhere" in err and "not seen" in err
