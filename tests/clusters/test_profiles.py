"""Profiles: what a file may say, where it is found, and how wrong ones are refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bkgflow.clusters.adaptive import Adaptive
from bkgflow.clusters.address import Address
from bkgflow.clusters.base import option_names
from bkgflow.clusters.choose import KINDS, ClusterArguments, all_options, choose
from bkgflow.clusters.gateway import Gateway
from bkgflow.clusters.handover import described, revived
from bkgflow.clusters.kubernetes import Kubernetes
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.pbs import Pbs
from bkgflow.clusters.slurm import Slurm
from bkgflow.clusters.walltime import lifetime_of, seconds_of, written
from bkgflow.errors import SettingsError, UsageError
from tests.helpers.clusters import ROOT

DEPLOY = ROOT / "deploy"


@pytest.fixture
def profile(tmp_path):
    def write(text, name="site.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


# What it may say


def test_a_profile_of_every_kind(profile):
    wanted = {
        "kind: local\nworkers: 2\nmemory: 1GiB\n": Local(2, "1GiB"),
        "kind: local\nadaptive: {minimum: 1, maximum: 3}\n": Local(adaptive=Adaptive(1, 3)),
        "kind: threads\nworkers: 3\n": Threads(3),
        "kind: address\naddress: tcp://h:1\nwait: 5\n": Address("tcp://h:1", wait=5),
        "kind: slurm\nqueue: normal\n": Slurm(queue="normal"),
        "kind: pbs\nresources: select=1\n": Pbs(resources="select=1"),
        "kind: gateway\naddress: http://h\noptions: {worker_cores: 2}\n": Gateway(
            address="http://h", options={"worker_cores": 2}
        ),
        "kind: kubernetes\nimage: bkgflow:1\n": Kubernetes(image="bkgflow:1"),
    }
    for text, cluster in wanted.items():
        assert choose(str(profile(text))) == cluster
        assert choose(profile(text)) == cluster
        assert choose(yaml.safe_load(text)) == cluster
        assert revived(json.loads(json.dumps(described(cluster)))) == cluster
    assert {type(each) for each in wanted.values()} == set(KINDS.values())


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ('kind: slurm\nallow_skew: "no"\n', Slurm(allow_skew=False)),
        ("kind: slurm\nallow_skew: y\ntls: n\n", Slurm(allow_skew=True, tls=False)),
        ('kind: slurm\ncores: "4"\nprocesses: 2.0\n', Slurm(cores=4, processes=2)),
        ('kind: pbs\nwait: "60"\n', Pbs(wait=60)),
        ('kind: local\nworkers: "2"\n', Local(2)),
        ("kind: gateway\nworkers: 2.0\n", Gateway(workers=2)),
        ('kind: address\naddress: tcp://h:1\nwait: "60"\n', Address("tcp://h:1", wait=60)),
    ],
)
def test_a_text_is_taken_for_what_it_says(text, cluster, profile):
    made = choose(profile(text))
    assert made == choose(yaml.safe_load(text)) == cluster
    assert repr(made) == repr(replace(cluster, wait=60.0) if "wait" in text else cluster)


def test_a_setting_from_python_is_taken_for_what_it_says():
    made = choose("slurm", slurm_cores="4", allow_skew="no", slurm_tls="off", slurm_logs=Path("x"))
    assert made == Slurm(cores=4, allow_skew=False, tls=False, logs="x")
    assert choose("tcp://h:1", allow_skew="n").allow_skew is False
    with pytest.raises(UsageError, match=r"tls: 'maybe'.*Give true or false"):
        choose("slurm", slurm_tls="maybe")


def test_what_the_engine_has_is_passed_on_to_it(profile):
    cluster = choose(profile("kind: slurm\njob_directives_skip: [mem]\noptions: {shebang: x}\n"))
    assert cluster.options == {"job_directives_skip": ["mem"], "shebang": "x"}
    assert cluster.arguments()["shebang"] == "x"


def test_lines_among_the_options_come_after_ours():
    more = {"job_script_prologue": ["module load y"], "job_extra_directives": ["--nice"]}
    more["worker_extra_args"] = ["--resources", "A=1"]
    script = Slurm(
        prologue=["module load x"], directives=["--begin=now"], options=more
    ).job_script()
    for lines in (
        ["export OMP_NUM_THREADS=1", "module load x", "module load y"],
        ["#SBATCH --begin=now", "#SBATCH --nice"],
    ):
        assert [each for each in script.splitlines() if each in lines] == lines
    assert "--dashboard-address 127.0.0.1:0" in script and "--resources A=1" in script


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("slurm", ["queue=b"], "queue.*Give queue"),
        ("slurm", ["cores=2"], "Give cores"),
        ("slurm", ["log_directory=/x"], "log_directory.*Give logs"),
        ("slurm", ["protocol=tcp://"], "Give tls"),
        ("slurm", ["nanny=false"], "nanny.*Leave it out"),
        ("slurm", ['worker_extra_args=["--nthreads=4"]'], "worker_extra_args: --nthreads.*cores"),
        ("slurm", ["worker_extra_args=--memory-limit 1GiB"], "Give memory"),
        ("slurm", ["scheduler_options={protocol: 'tcp://'}"], "scheduler_options: protocol.*tls"),
        ("pbs", ["resource_spec=select=2"], "Give resources"),
        ("slurm", ["resource_spec=select=2"], "kind slurm has.*resource_spec"),
        ("kubernetes", ["image=x"], "Give image"),
        ("kubernetes", ["n_workers=2"], "Give workers"),
        ("kubernetes", ["quiet=false"], "Leave it out"),
    ],
)
def test_an_option_replaces_no_setting(kind, options, words):
    with pytest.raises(UsageError, match=words):
        choose(kind, **{f"{kind}_options": options})


def test_the_command_line_goes_before_the_file(profile):
    path = profile("kind: slurm\nqueue: normal\nworkers: 2\n")
    over = choose(path, workers=7, slurm_queue="debug", slurm_options=["shebang='#!/bin/sh'"])
    assert over == Slurm(queue="debug", workers=7, options={"shebang": "#!/bin/sh"})
    with pytest.raises(UsageError, match=r"site\.yaml has wait.*pbs_queue=x.*Use slurm_queue"):
        choose(path, pbs_queue="x")


@pytest.mark.parametrize("kind", ["slurm", "local"])
def test_how_many_workers_the_command_line_says_goes_before_the_file(kind, profile):
    adaptive = {"kind": kind, "adaptive": "4:64"}
    for given in (adaptive, profile(yaml.safe_dump(adaptive))):
        made = choose(given, workers=3)
        assert (made.workers, made.adaptive) == (3, None)
    made = choose(profile(f"kind: {kind}\nworkers: 3\n"), adaptive="4:64")
    assert (made.workers, made.adaptive) == (None, Adaptive(4, 64))
    with pytest.raises(UsageError, match="Leave one of them out"):
        choose(profile(f"kind: {kind}\n"), workers=3, adaptive="4:64")


def test_options_have_the_prefix_of_their_kind():
    assert option_names(Slurm)["slurm_queue"] == "queue"
    assert option_names(Slurm)["workers"] == "workers"
    assert {"slurm_queue", "pbs_resources", "gateway_cluster", "kubernetes_image"} < set(
        all_options()
    )
    assert set(ClusterArguments.__annotations__) == set(all_options())


def test_profiles_are_found_by_their_names(profile, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "bkgflow" / "clusters"
    folder.mkdir(parents=True)
    (folder / "site.yaml").write_text("kind: threads\nworkers: 1\n")
    (folder / "other.yml").write_text("kind: threads\nworkers: 2\n")
    assert choose("site") == Threads(1)
    assert choose("other") == Threads(2)
    monkeypatch.setenv("BKGFLOW_CLUSTERS", f"{tmp_path / 'none'}:{tmp_path / 'named'}")
    profile("kind: threads\nworkers: 9\n", "named/site.yaml")
    assert choose("site") == Threads(9)
    (folder / "slurm.yaml").write_text("kind: slurm\n")
    with pytest.raises(UsageError, match=r"slurm\.yaml.*my-slurm\.yaml"):
        choose("slurm")


# What is refused: file, value, cure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: slrum\n", "kind=slrum.*Use slurm"),
        ("queue: x\n", "kind=None"),
        ("kind: address\n", "no address"),
        ("kind: threads\nwrokers: 2\n", "wrokers.*Use workers"),
        ("kind: address\naddress: tcp://h:1\nqueue: x\n", "queue.*address, allow_skew"),
        ("kind: slurm\nwall_time: x\n", "wall_time.*Use walltime"),
        ("kind: slurm\nqueu: x\n", "queu.*Use queue"),
        ("kind: slurm\nworkers: many\n", "workers: 'many'"),
        ("kind: slurm\nqueue: 12\n", "queue: 12.*in quotes"),
        ("kind: slurm\nmemory: 4\n", "memory: 4.*such as 4GiB"),
        ("kind: slurm\noptions: 5\n", "KEY=VALUE.*found: 5"),
        ("kind: slurm\nqueue: 2020-13-45\n", "must be YAML"),
        ("kind: slurm\nworkers: 0\n", "at least one worker"),
        ("kind: slurm\nworkers: 2\nadaptive: {minimum: 1, maximum: 2}\n", "Leave one of them out"),
        ("kind: slurm\nadaptive: {minimum: 0, maximum: 2}\n", "at least 1"),
        ("kind: slurm\nadaptive: 5:2\n", "at least 1"),
        ("kind: slurm\nmemory: plenty\n", "memory=plenty"),
        ("kind: slurm\nmemory: -4GiB\n", "at least 256 MiB.*memory=-4GiB"),
        ("kind: kubernetes\nmemory: 4B\n", "at least 256 MiB.*memory=4B"),
        ("kind: local\nmemory: -4GiB\n", "at least 256 MiB.*memory=-4GiB"),
        ("kind: slurm\ndriver_memory: much\n", "driver_memory=much.*such as 4GiB"),
        ('kind: pbs\ndriver_memory: "0"\n', "at least 256 MiB.*driver_memory=0"),
        ("kind: slurm\ncores: 4\nprocesses: -2\n", "multiple of processes"),
        ("kind: kubernetes\ncores: 0\n", "at least one thread.*cores=0"),
        ("kind: slurm\nwalltime: long\n", "walltime=long"),
        ("kind: slurm\nworkers: true\n", "workers: 'True'"),
        ("kind: slurm\nworkers: 1\nworkers: 2\n", "workers is there twice"),
        (
            "kind: slurm\ndriver-walltime: 1:00\ndriver_walltime: 2:00\n",
            "once.*driver-walltime and driver_walltime",
        ),
        ("kind: address\naddress: tcp://h\n", "its host and its port.*tcp://h"),
        ("kind: slurm\ncores: 3\nprocesses: 2\n", "multiple of processes"),
        ("kind: slurm\ndriver: nowhere\n", "driver=nowhere"),
        ("kind: slurm\nprologue: {a: b}\n", "list of texts"),
        ("kind: slurm\nprologue: [export MY_PASSWORD=x]\n", "no secrets.*MY_PASSWORD"),
        ("kind: slurm\noptions: {job_script_prologue: [export A_TOKEN=b]}\n", "secrets.*A_TOKEN"),
        ("kind: slurm\njob_script_prologue: 'a\n\n  A_TOKEN=b'\n", "secrets.*A_TOKEN"),
        ("kind: slurm\nworker_extra_args: [--token=b]\n", "no secrets.*token"),
        ("kind: slurm\ndirectives: [--export=TOKEN=b]\n", "no secrets.*TOKEN"),
        ("kind: gateway\noptions: {environment: {A_TOKEN: b}}\n", "no secrets.*A_TOKEN"),
        ("kind: gateway\npassword: x\n", "no secrets.*password"),
        ("kind: gateway\nworker_cores: 2\n", "worker_cores.*options"),
        ("kind: gateway\nmemory: 4GiB\n", "as the gateway wants it"),
        ("kind: gateway\naddress: gateway://\n", "gateway://HOST:PORT"),
        ("kind: gateway\naddress: gateway://h:port\n", "https://HOST.*gateway://h:port"),
        ("kind: gateway\naddress: notanurl\n", "https://HOST.*address=notanurl"),
        ("kind: gateway\nproxy: notanurl\n", "HOST:PORT.*proxy=notanurl"),
        ("kind: gateway\nauth: foo\n", "one of: basic, jupyterhub, kerberos.*auth=foo"),
        ("kind: kubernetes\nenvironment: {AWS_SECRET_ACCESS_KEY: x}\n", "no secrets"),
        ("kind: [\n", "must be YAML"),
        ("- kind\n", "settings by their names"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(text, words, profile):
    path = profile(text)
    with pytest.raises(UsageError, match=rf"(?s){path}.*{words}"):
        choose(path)


def test_a_variable_that_a_script_passes_on_is_no_secret(profile):
    choose(profile("kind: slurm\nprologue: ['export MY_TOKEN=$OTHER', source ~/.secrets]\n"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.yaml.*bkgflow clusters list"):
        choose(tmp_path / "gone.yaml")
    with pytest.raises(UsageError, match="Use slurm"):
        choose("slrum")


def test_a_library_that_is_not_installed_is_said_with_the_command(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setitem(sys.modules, "dask_gateway", None)
    with pytest.raises(UsageError, match=r"install 'bkgflow\[slurm\]'"):
        Slurm().job_script()
    with pytest.raises(UsageError, match=r"install 'bkgflow\[gateway\]'"), Gateway().open():
        pass


def test_the_address_of_a_gateway():
    for proxy in ("gateway://h:1", "tls://h:1", "h:1"):
        assert Gateway(address="https://h/services/dask", proxy=proxy, auth="kerberos")
    assert choose("gateway://host:8000") == Gateway(address="http://host:8000")
    there = choose("gateway://host:8000/abc")
    assert (there.address, there.cluster) == ("http://host:8000", "abc")
    assert revived(described(there)) == there


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1800), ("10:30", 630), ("02:00:00", 7200), ("1-12", 129600), ("1-00:00:10", 86410),
     (36000, 36000)],
)  # fmt: skip
def test_times_of_jobs(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ('"90"', 5400), ("10:00:00", 36000), ("90:00", 5400), ("1-00:00:00", 86400)],
)
def test_times_in_profiles_mean_what_they_mean_in_quotes(text, seconds, profile):
    file = profile(f"kind: slurm\nwalltime: {text}\ndriver_walltime: {text}\nadaptive: 1:4\n")
    cluster = choose(str(file))
    assert seconds_of(cluster.walltime) == seconds_of(cluster.driver_walltime) == seconds
    assert cluster.adaptive == choose(str(profile("kind: slurm\nadaptive: '1:4'\n"))).adaptive


def test_a_worker_leaves_before_its_job_is_over():
    for walltime in ("00:05:00", "01:00:00", "2-00:00:00"):
        lifetime, stagger = lifetime_of(walltime)
        assert lifetime + stagger <= seconds_of(walltime) - 60
        assert lifetime > seconds_of(walltime) / 2
    assert lifetime_of("00:04:00") is None
    assert written("1-00:00:10") == "24:00:10"
    for wrong in ("", "x", "1:2:3:4", -5, 0):
        with pytest.raises(SettingsError, match="walltime"):
            seconds_of(wrong)


# What is asked for


def test_the_job_of_a_worker_of_slurm():
    script = Slurm(
        queue="normal", account="me", cores=2, memory="2GiB", interface="lo",
        walltime="02:00:00", prologue=["source env.sh"], directives=["--nice"],
    ).job_script()  # fmt: skip
    for line in (
        "#SBATCH -p normal",
        "#SBATCH -A me",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --mem=4G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --nice",
        "source env.sh",
        "export OMP_NUM_THREADS=1",
    ):
        assert line in script.splitlines()
    for word in (
        "--nworkers 2",
        "--nthreads 1",
        "--memory-limit 2.00GiB",
        "--nanny",
        "--death-timeout 120",
        "--lifetime 6480s --lifetime-stagger 360s",
        "--preload bkgflow.clusters.on_start --preload bkgflow.clusters.on_job",
        "--interface lo",
        " tls://SCHEDULER:PORT ",
    ):
        assert word in script
    assert " tcp://SCHEDULER:PORT " in Slurm(tls=False).job_script()
    assert_is_bash(script)


def test_the_job_of_a_worker_of_pbs():
    script = Pbs(queue="batch", memory="3GiB", walltime=36000).job_script()
    assert "#PBS -q batch" in script
    assert "#PBS -l select=1:ncpus=1:mem=3072MB" in script
    assert "#PBS -l walltime=10:00:00" in script
    assert "#PBS -l select=2" in Pbs(resources="select=2").job_script()
    assert_is_bash(script)


@pytest.mark.parametrize("kind", [Slurm, Pbs])
def test_the_job_of_a_driver_can_be_requeued(kind):
    cluster = kind(queue="q", driver_walltime="1-00:00:00", prologue=["source env.sh"])
    script = cluster.rendered()["The job of a driver that is submitted"]
    assert ("#SBATCH --requeue" in script) or ("#PBS -r y" in script)
    assert "24:00:00" in script and "source env.sh" in script
    assert_is_bash(script)
    assert cluster.batch() is not None
    assert kind(driver="here").batch() is None


@pytest.mark.slow
def test_the_manifest_of_kubernetes():
    spec = Kubernetes(
        image="bkgflow:1", name="c", workers=3, cores=2, memory="4GiB", claim="disk",
        secret="store", environment={"A": 1},
    ).spec()  # fmt: skip
    worker = spec["spec"]["worker"]
    assert worker["replicas"] == 3
    [container] = worker["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4096Mi"}
    assert container["args"][:4] == ["dask", "worker", "--nthreads", "2"]
    assert {"name": "A", "value": "1"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    [scheduler] = spec["spec"]["scheduler"]["spec"]["containers"]
    assert scheduler["args"][:2] == ["dask", "scheduler"]


def assert_is_bash(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What lies in deploy/


def scripts():
    return sorted(path for pattern in ("*.sbatch", "*.sh") for path in DEPLOY.rglob(pattern))


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_scripts_of_deploy_are_bash_and_broken_copies_are_not(path):
    assert_is_bash(path.read_text())
    with pytest.raises(AssertionError):
        assert_is_bash(path.read_text().replace("\nfi", "\n"))


@pytest.mark.parametrize("name", ["slurm", "gateway"])
def test_profiles_of_deploy_are_taken_and_broken_copies_are_not(name, tmp_path):
    path = DEPLOY / name / "profile.yaml"
    assert choose(path) == choose(str(path))
    broken = tmp_path / "profile.yaml"
    broken.write_text(path.read_text().replace("adaptive:", "adaptiv:").replace("wait:", "wiat:"))
    with pytest.raises(UsageError, match=r"profile\.yaml.*Use (adaptive|wait)"):
        choose(Path(broken)).check_options()


@pytest.mark.slow
def test_a_library_that_sets_handlers_of_signals_when_it_is_imported_changes_none():
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT)\n"
        "from bkgflow.clusters.options import engine_of\n"
        "engine_of('dask_jobqueue', 'slurm')\n"
        "assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
