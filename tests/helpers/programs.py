"""Small programs on disk, what a run of them says, and worlds in which workers may live."""

from __future__ import annotations

import textwrap

from bkgflow.campaign.events import Notice
from bkgflow.version import VERSION
from tests.helpers.clusters import ROOT
from tests.helpers.exposures import make_model, write_association


def write_program(folder, targets=3, names="t", size=24):
    """Write targets that share one background of 1: 2 is right everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in [*((f"{names}{n}", 3.0) for n in range(targets)), ("b", 1.0)]:
        with make_model([[value] * size] * size) as model:
            model.save(str(folder / f"{name}_rate.fits"))
    products = [(f"p{n}", f"{names}{n}_rate.fits", ["b_rate.fits"]) for n in range(targets)]
    return write_association(folder / "x_asn.json", products)


class Said:
    """A listener that keeps what is announced."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    @property
    def notices(self):
        return [event.text for event in self.events if isinstance(event, Notice)]


def blocker(folder):
    """A file that hides bkgflow from the process that loads it."""
    path = folder / "without_bkgflow.py"
    path.write_text(
        textwrap.dedent("""
        import sys

        class Hidden:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "bkgflow":
                    raise ModuleNotFoundError("No module named 'bkgflow'", name="bkgflow")

        assert not any(name.partition(".")[0] == "bkgflow" for name in sys.modules)
        sys.meta_path.insert(0, Hidden())
        """)
    )
    return path


def another_version(folder):
    """A folder with a bkgflow of another version."""
    copy = folder / "other" / "bkgflow"
    copy.parent.mkdir(parents=True)
    copy.mkdir()
    for each in (ROOT / "bkgflow").iterdir():
        if each.name not in {"version.py", "__pycache__"}:
            (copy / each.name).symlink_to(each)
    text = (ROOT / "bkgflow" / "version.py").read_text()
    (copy / "version.py").write_text(text.replace(VERSION, "0.0.1"))
    return copy.parent
