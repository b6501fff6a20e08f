"""The notebooks: executed from top to bottom, and kept without what they show."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.kernels import KERNEL, own_kernel
from tests.helpers.sources import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SECONDS = 240
"""Of one cell, on a machine that has other things to do."""


def sources(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_ends_in_a_picture(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    here = tmp_path / "here"
    here.mkdir()
    with own_kernel(tmp_path / "jupyter"):
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name=KERNEL,
            resources={"metadata": {"path": str(here)}},
        )
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = [each for each in outputs if each.output_type == "stream"]
    shown = [each.data for each in outputs if "data" in each]
    assert sum("image/png" in each for each in shown) >= 2
    assert "image/png" in outputs[-1].get("data", {})
    # Warnings and tracebacks, of threads as well, are no reading for anybody.
    assert [each.text for each in said if each.name == "stderr"] == []
    assert not list(here.iterdir()), "a notebook must keep what it makes in a folder of its own"


def test_there_are_five():
    assert [path.stem.partition("_")[0] for path in NOTEBOOKS] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("execution_count") is None, "Clear all outputs, and save it again"
        assert not cell.get("outputs"), "Clear all outputs, and save it again"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_reads_well_from_the_top(path):
    """A title, words before code, and no path of anybody's machine."""
    cells = sources(nbformat.read(path, as_version=4))
    kind, first = cells[0]
    assert kind == "markdown"
    assert first.startswith("# ")
    assert sum(kind == "markdown" for kind, _ in cells) >= len(cells) / 4
    for kind, source in cells:
        assert not re.search(r"/tmp/|/home/|/root/", source)
        if kind == "code":
            assert max(map(len, source.splitlines())) <= 120
