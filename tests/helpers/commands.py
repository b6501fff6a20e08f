"""What tests of commands need: a program of small exposures, and a few words."""

from pathlib import Path

from tests.helpers.exposures import write_association


def spoil(folder):
    """Add a unit with a missing background, and one without any."""
    products = [("bad", "b1_rate.fits", ["gone_rate.fits"]), ("alone", "b2_rate.fits", [])]
    write_association(folder / "program" / "3_asn.json", products)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())
