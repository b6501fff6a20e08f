"""Every file of deploy/, and the Dockerfile, passes its validator; a broken copy does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.sources import ROOT
from tests.helpers.validators import (
    compose,
    kustomization,
    missing_compose,
    missing_kubectl,
    validator_of,
)

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "Dockerfile", *DEPLOY.rglob("*")]
    if path.is_file() and "__pycache__" not in path.parts
)
BASE, DISK = "deploy/kubernetes/base", "deploy/kubernetes/overlays/shared-disk"
BUCKETS = "deploy/kubernetes/overlays/buckets"

BROKEN = [
    ("Dockerfile", "WORKDIR /data", "WORKDIR data", "DL3000"),
    ("Dockerfile", "USER 10001:10001", "USER 10001:10001\nMAINTAINER me", "DL4000"),
    ("Dockerfile", "--no-install-recommends binutils", "binutils", "DL3015"),
    ("Dockerfile", "ENTRYPOINT [", "ENTRYPOINT start [", "DL3025"),
    ("Dockerfile", "COPY README.md LICENSE ./", "CPY README.md LICENSE ./", "unexpected 'C'"),
    ("deploy/compose.yaml", "depends_on:\n      sched", "depends_on:\n      shed", "sheduler"),
    ("deploy/compose.yaml", "read_only: true", "readonly: true", "readonly"),
    ("deploy/compose.yaml", "service_healthy", "healthy", "condition"),
    (f"{BASE}/campaign.yaml", "backoffLimit: 6", "backoffLimit: six", "backoffLimit"),
    (f"{BASE}/campaign.yaml", "restartPolicy:", "restart:", "restart"),
    (f"{BASE}/campaign.yaml", "apiVersion: batch/v1", "apiVersion: batch/v9", "find schema"),
    (f"{BASE}/cluster.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem", "FileSystem"),
    (f"{BASE}/cluster.yaml", "replicas: 4", "replicas: four", "four"),
    (f"{BASE}/cluster.yaml", "spec:\n  worker:", "spec:\n  workers: {}\n  worker:", "workers"),
    (f"{BASE}/network-policy.yaml", "port: 8787", "prot: 8787", "prot"),
    (f"{BASE}/service-account.yaml", "ServiceAccountToken: false", "Token: false", "Token"),
    (f"{BASE}/kustomization.yaml", "- cluster.yaml", "- clusters.yaml", "clusters.yaml"),
    (f"{DISK}/volume-claim.yaml", "500Gi", "[500]", "storage"),
    (f"{DISK}/mount-worker.yaml", "op: add", "opp: add", "opp"),
    (f"{DISK}/kustomization.yaml", "kind: DaskCluster", "kindd: DaskCluster", "kindd"),
    (f"{BUCKETS}/bucket-campaign.yaml", "op: add", "op: insert", "insert"),
    (f"{BUCKETS}/network-policy.yaml", "matchExpressions:", "matchLabels:", "matchLabels"),
    (f"{BUCKETS}/kustomization.yaml", "behavior: merge", "behavior: mix", "behavior must be"),
    ("deploy/image/start.sh", "done\n", "", "Syntax error"),
    ("deploy/image/slim.sh", "\nfi\n", "\n", "end of file"),
    ("deploy/image/build.sh", "\nfi\n", "\n", "syntax error"),
    ("deploy/image/healthcheck.py", "def main(", "def main", "unmatched"),
    ("deploy/image/requirements.py", 'encoding="utf-8")', 'encoding="utf-8"', "never closed"),
    ("deploy/slurm/profile.yaml", "walltime:", "wall_time:", "walltime"),
    ("deploy/slurm/campaign.sbatch", "exit 2\nfi\n", "exit 2\n", "end of file"),
    ("deploy/gateway/profile.yaml", "kind: gateway", "kind: gatewy", "gatewy"),
    (
        "deploy/gateway/dask_gateway_config.py",
        "lambda options: {",
        "lambda options {",
        "invalid syntax",
    ),
    ("deploy/README.md", "](compose.yaml)", "](compos.yaml)", "compos.yaml"),
]
"""A file, what is changed in it, and a word of what its validator says then."""


def needs_debian(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.debian] if validator_of(name) is compose else []


def check(name: str, path: Path) -> str:
    validator = validator_of(name)
    assert validator is not None
    missing = {compose: missing_compose, kustomization: missing_kubectl}.get(validator)
    if missing and missing():
        pytest.skip(missing())
    return validator(path)


def test_every_file_has_a_validator():
    assert [name for name in FILES if validator_of(name) is None] == []
    broken = {name for name, *_ in BROKEN}
    covered = {validator_of(name) for name in broken}
    assert [name for name in FILES if validator_of(name) not in covered] == []


@pytest.mark.parametrize("name", [pytest.param(n, marks=needs_debian(n)) for n in FILES])
def test_it_passes_its_validator(name):
    assert check(name, ROOT / name) == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "said"), [pytest.param(*b, marks=needs_debian(b[0])) for b in BROKEN]
)
def test_a_broken_copy_does_not(name, old, new, said, tmp_path):
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / name
    whole = (ROOT / name).read_text()
    assert old in whole, "what is to be broken is not there any more"
    path.write_text(whole.replace(old, new))
    assert said in check(name, path)


@pytest.mark.parametrize(
    ("patch", "old", "new"),
    [
        (f"{DISK}/mount-campaign.yaml", "/spec/template/spec/volumes/-", "/spec/volume/-"),
        (f"{DISK}/mount-worker.yaml", "mountPath: /data", "mountPth: /data"),
        (f"{BUCKETS}/bucket-worker.yaml", "secretRef:", "secret:"),
    ],
)
def test_a_patch_that_does_not_fit_breaks_its_overlay(patch, old, new, tmp_path):
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "deploy" / "kubernetes")
    path = tmp_path / patch
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    overlay = (Path(patch).parent / "kustomization.yaml").as_posix()
    assert check(overlay, tmp_path / overlay) != ""
