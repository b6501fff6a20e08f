"""What no schema asks: who a container is, what it may write, who reaches it, and secrets."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.helpers.sources import ROOT
from tests.helpers.validators import missing_kubectl

OVERLAYS = ("shared-disk", "buckets")
PORT = re.compile(r"(?:--port=|:)(\d{4})$")


@pytest.fixture(scope="module", params=OVERLAYS)
def built(request):
    """The resources of an overlay by kind."""
    if missing_kubectl():
        pytest.skip(missing_kubectl())
    folder = ROOT / "deploy" / "kubernetes" / "overlays" / request.param
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, check=True)
    found: dict[str, list[dict]] = {"overlay": [request.param]}
    for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader):
        found.setdefault(each["kind"], []).append(each)
    return found


def pods(built) -> Iterator[tuple[str, dict]]:
    [cluster], [job] = built["DaskCluster"], built["Job"]
    yield "worker", cluster["spec"]["worker"]["spec"]
    yield "scheduler", cluster["spec"]["scheduler"]["spec"]
    yield "driver", job["spec"]["template"]["spec"]


@pytest.mark.slow
def test_no_pod_may_more_than_it_needs(built):
    for _, pod in pods(built):
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] == built["ServiceAccount"][0]["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()
        assert "memory" in container["resources"]["limits"]
        assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"]


def test_all_that_belongs_together_is_in_one_namespace(built):
    everything = [each for kind, many in built.items() if kind != "overlay" for each in many]
    assert {each["metadata"]["namespace"] for each in everything} == {"bkgflow"}
    claims = {each["metadata"]["name"] for each in built["PersistentVolumeClaim"]}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod in pods(built)
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert used == claims


def test_secrets_are_only_named(built):
    [overlay] = built["overlay"]
    assert "Secret" not in built
    named = {
        role: [each["secretRef"]["name"] for each in pod["containers"][0].get("envFrom", ())
               if "secretRef" in each]
        for role, pod in pods(built)
    }  # fmt: skip
    wanted = ["bkgflow-bucket"] if overlay == "buckets" else []
    assert named == {"worker": wanted, "scheduler": [], "driver": wanted}
    for _, pod in pods(built):
        for each in pod["containers"][0].get("env", ()):
            assert not re.search("SECRET|PASSWORD|TOKEN|KEY", each["name"]) or "valueFrom" in each


def test_only_the_campaign_and_the_operator_reach_the_scheduler(built):
    policy = next(p for p in built["NetworkPolicy"] if p["metadata"]["name"] == "bkgflow")["spec"]
    label = {"dask.org/cluster-name": "bkgflow"}
    assert policy["podSelector"]["matchLabels"] == label
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    own, operator = policy["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": label}}]}
    [source] = operator["from"]
    assert source["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "dask-operator"
    }
    # The operator labels the pods of a cluster so; the driver's has to say it.
    assert built["DaskCluster"][0]["metadata"]["name"] == "bkgflow"
    assert label.items() <= built["Job"][0]["spec"]["template"]["metadata"]["labels"].items()


def test_the_driver_asks_for_the_scheduler_that_the_operator_starts(built):
    [cluster], [job] = built["DaskCluster"], built["Job"]
    name = cluster["metadata"]["name"]
    service = cluster["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name
    [port] = [each["port"] for each in service["ports"] if each["name"] == "tcp-comm"]
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--cluster=tcp://{name}-scheduler:{port}" in args
    settings = {each["metadata"]["name"]: each["data"] for each in built["ConfigMap"]}
    given = [f"$({key})" for key in settings["bkgflow-campaign"]]
    assert all(each in " ".join(args) for each in given if "AWS" not in each)


def test_units_that_ended_badly_are_not_tried_for_ever(built):
    policy = built["Job"][0]["spec"]["podFailurePolicy"]["rules"][0]
    assert policy["action"] == "FailJob" and policy["onExitCodes"]["values"] == [1, 2]


@pytest.fixture(scope="module")
def services():
    path = ROOT / "deploy" / "compose.yaml"
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def test_nothing_of_compose_is_reached_from_outside(services):
    assert services["networks"]["inside"]["internal"] is True
    for service in services["services"].values():
        assert "ports" not in service and "network_mode" not in service
        assert service["networks"] == ["inside"]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]
    dashboards = [
        word
        for service in services["services"].values()
        for word in map(str, service["command"])
        if word.startswith(("--dashboard-address=", "127.0.0.1:"))
    ]
    assert len(dashboards) == 2
    assert all("127.0.0.1:" in word for word in dashboards)
