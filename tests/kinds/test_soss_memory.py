"""What the fit of a long time series holds, measured on a worker process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from distributed import Client, LocalCluster
from stdatamodels.jwst import datamodels

from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.storage.location import Location
from bkgflow.kinds.soss import fit_exposure
from bkgflow.settings import StepSettings
from tests.helpers.exposures import make_model
from tests.helpers.soss import make_library, observe

BOUND = 1.5
"""Times the SCI bytes of the largest file, beside what a short one takes."""

LONG = 120
"""Integrations of 96 rows: 94 MB of SCI, far more than what a short one takes."""

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

pytestmark = [
    pytest.mark.skipif(not RESET.exists(), reason="reads Linux's /proc"),
    pytest.mark.slow,
]


def peak_of_fit(path: str, library: str, settings: StepSettings) -> int:
    """Fit an exposure and return the most that this process held meanwhile, in bytes."""
    RESET.write_text("5")
    [fits] = fit_exposure((inspect(path),), [Location.of(library)], settings.soss_rule)
    fit, _ = fits.found[Location.of(path)]
    assert fit.template is not None
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def peak_of_unit(path: str, library: str, output: str) -> int:
    """Fit, subtract and write a product; return the most that this process held meanwhile."""
    from bkgflow.api import subtract_to_file

    RESET.write_text("5")
    product = subtract_to_file(path, output_dir=output, override_bkg=library)
    with fits.open(product) as units:
        assert units[0].header["S_BKDSUB"] == "COMPLETE"
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(1, threads_per_worker=1, memory_limit=0, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A library, and a short and a long exposure."""
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(6)
    templates = make_library(rng, 2, 96)
    with datamodels.SossBkgModel(data=templates) as model:
        model.save(str(folder / "library.fits"))
    sci, dq = observe(rng, templates[0], 2)
    for name, times in (("short", 1), ("long", LONG // 2)):
        cube, flags = (np.tile(each, (times, 1, 1)) for each in (sci, dq))
        with make_model(cube, dq=flags, instrument="NIRISS", exp_type="NIS_SOSS") as model:
            model.save(str(folder / f"{name}.fits"))
    return [str(folder / f"{name}.fits") for name in ("library", "short", "long")]


@pytest.mark.parametrize(
    "arguments", [{}, {"soss_fit": "integration"}, {"soss_source_percentile": 100.0}]
)
def test_a_long_series_stays_within_the_bound(client, files, arguments):
    library, *exposures = files
    settings = StepSettings.of(**arguments)
    short, long = (
        client.submit(peak_of_fit, path, library, settings, pure=False).result()
        for path in exposures
    )
    sci = LONG * 96 * 2048 * 4
    assert 0.1 * sci < long - short < BOUND * sci


def test_a_whole_unit_stays_within_the_bound(client, files, tmp_path):
    """The product of a long series is written without holding it."""
    library, *exposures = files
    short, long = (
        client.submit(peak_of_unit, path, library, str(tmp_path), pure=False).result()
        for path in exposures
    )
    assert long - short < BOUND * LONG * 96 * 2048 * 4
