"""What a file's headers say of an exposure, checked before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bkgflow.detector import Window, full_frame
from bkgflow.errors import FileError, MetadataError, ShapeError, WindowError
from bkgflow.io.exposures.keywords import collect
from bkgflow.io.fits.cards import Cards
from bkgflow.io.fits.hdus import ByteRange, Hdu, walk

__all__ = ["ExposureFacts", "Identity", "inspect", "slit_corner", "window_of"]

ARRAYS = ("SCI", "ERR", "DQ")

PLACE_KEYWORDS = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one version of a file from another: its name, size in bytes and mtime."""

    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Identity:
        """Ask the file system.

        Raises
        ------
        FileError
            If the file is not there.
        """
        path = Path(path)
        try:
            found = path.stat()
        except (OSError, ValueError) as problem:  # a name with a NUL or half a character in it
            raise FileError(
                "An exposure is a readable file",
                file=path,
                value=getattr(problem, "strerror", None) or problem,
                cure="Check the path and the permissions",
            ) from None
        return cls(path.name, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class ExposureFacts:
    """An exposure as its headers describe it.

    Attributes
    ----------
    path : str
        Where it lies.
    identity : Identity
        Which version of the file was looked at.
    window : Window
        Its place on the detector.
    n_integrations : int or None
        Integrations of a cube; None for a 2-D image.
    model, instrument, detector, exp_type, bunit : str
        DATAMODL, INSTRUME, DETECTOR, EXP_TYPE and the BUNIT of SCI; empty where missing.
    gwa : tuple of (float or None)
        GWA_XTIL and GWA_YTIL, in degrees.
    sci, err, dq : ByteRange
        Where the arrays lie in the file.
    keywords : tuple of (str, str)
        What reference files are chosen by, and SCATFILE; see `bkgflow.io.exposures.keywords`.
    """

    path: str
    identity: Identity
    window: Window
    n_integrations: int | None
    model: str
    instrument: str
    detector: str
    exp_type: str
    bunit: str
    gwa: tuple[float | None, float | None]
    sci: ByteRange
    err: ByteRange
    dq: ByteRange
    keywords: tuple[tuple[str, str], ...] = ()

    @property
    def n_pixels(self) -> int:
        """Pixels of all integrations."""
        return self.window.nx * self.window.ny * (self.n_integrations or 1)

    def gwa_tilt(self) -> tuple[float, float]:
        """Return the tilt of the grating wheel, in degrees.

        Raises
        ------
        MetadataError
            If one of the two is missing or not a number.
        """
        xtilt, ytilt = self.gwa
        for keyword, value in (("GWA_XTIL", xtilt), ("GWA_YTIL", ytilt)):
            if value is None or not math.isfinite(value):
                raise MetadataError(
                    f"A NIRSpec exposure says its grating wheel's tilt in {keyword}",
                    file=self.path,
                    value="missing" if value is None else value,
                    cure="Put the keyword in from the telemetry, or run the pipeline's first "
                    "stage again",
                )
        assert xtilt is not None and ytilt is not None
        return xtilt, ytilt


def inspect(path: str | Path) -> ExposureFacts:
    """Read an exposure's headers and check that they agree with each other.

    Raises
    ------
    FileError
        If the file is missing, unreadable, truncated, or lacks SCI, ERR or DQ.
    ShapeError
        If SCI, ERR and DQ differ in shape, or SUBSIZE contradicts the array.
    WindowError
        If the place on the detector is unknown.
    """
    path = Path(path).absolute()
    identity = Identity.of(path)
    hdus = walk(path)
    header = hdus["PRIMARY"].header
    _check_single(path, header)
    shape = _common_shape(path, hdus)
    instrument = str(header.get("INSTRUME", ""))
    corner, size = _place_on_detector(header, hdus["SCI"].header)
    return ExposureFacts(
        path=str(path),
        identity=identity,
        window=window_of(path, instrument, shape[-2:], corner, size),
        n_integrations=shape[0] if len(shape) == 3 else None,
        model=str(header.get("DATAMODL", "")),
        instrument=instrument.upper(),
        detector=str(header.get("DETECTOR", "")),
        exp_type=str(header.get("EXP_TYPE", "")).upper(),
        bunit=str(hdus["SCI"].header.get("BUNIT", "")),
        gwa=(_number(header.get("GWA_XTIL")), _number(header.get("GWA_YTIL"))),
        sci=hdus["SCI"].data,
        err=hdus["ERR"].data,
        dq=hdus["DQ"].data,
        keywords=collect(header.get),
    )


def _place_on_detector(primary: Cards, sci: Cards) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return (SUBSTRT1, SUBSTRT2) and (SUBSIZE1, SUBSIZE2); for a slit cut-out, the slit's own.

    A cut-out keeps the subarray keywords of the exposure it was cut from and says with
    SLTSTRT1/2 (1-based in that exposure) and SLTSIZE1/2 where it was cut.
    """
    corner = (primary.get("SUBSTRT1"), primary.get("SUBSTRT2"))
    start = (sci.get("SLTSTRT1"), sci.get("SLTSTRT2"))
    if start == (None, None):
        return corner, (primary.get("SUBSIZE1"), primary.get("SUBSIZE2"))
    return slit_corner(corner, start), (sci.get("SLTSIZE1"), sci.get("SLTSIZE2"))


def slit_corner(corner: tuple[Any, Any], start: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the detector's 1-based corner of a cut-out that begins at ``start`` in its frame.

    Where one of the numbers is missing, so is the corner's; what is no number comes back as it
    is, for `window_of` to refuse.
    """
    x, y = (_shifted(frame, cut) for frame, cut in zip(corner, start, strict=True))
    return x, y


def _shifted(frame: Any, cut: Any) -> Any:
    if frame is None or cut is None:
        return None
    wrong = [value for value in (frame, cut) if not isinstance(value, int | float)]
    return wrong[0] if wrong else frame + cut - 1


def _check_single(path: Path, primary: Cards) -> None:
    model = str(primary.get("DATAMODL", ""))
    if model.startswith("Multi"):
        raise FileError(
            "An exposure is one image or one cube",
            file=path,
            value=f"a {model}, slits cut out of an exposure",
            cure="Give the exposure itself, as it was before it was cut",
        )


def _common_shape(path: Path, hdus: dict[str, Hdu]) -> tuple[int, ...]:
    for name in ARRAYS:
        if name not in hdus or not hdus[name].data.shape:
            raise FileError(
                "An exposure has the extensions SCI, ERR and DQ",
                file=path,
                value=f"{name} has no array"
                if name in hdus
                else f"no {name} among {', '.join(key for key in hdus if key) or 'none'}",
                cure="Give a rate or rateints product of the pipeline's first stage",
            )
        kind = str(hdus[name].header.get("XTENSION", "IMAGE"))
        if kind != "IMAGE":
            raise FileError(
                "SCI, ERR and DQ are image extensions",
                file=path,
                value=f"{name} is a {kind}",
                cure="Unpack a compressed file (funpack), or make the product again",
            )
        if hdus[name].data.bitpix > 0 and hdus[name].header.get("BLANK") is not None:
            raise FileError(
                "Pixels without a value are NaN",
                file=path,
                value=f"{name} holds whole numbers, one of which stands for none (BLANK)",
                cure="Store the array as float32",
            )
    shape = hdus["SCI"].data.shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise ShapeError(
            "SCI is an image (ny, nx) or a cube (n_integrations, ny, nx)",
            file=path,
            value=shape,
            cure="Give a rate or rateints product, not a ramp",
        )
    for name in ARRAYS[1:]:
        if hdus[name].data.shape != shape:
            raise ShapeError(
                f"{name} has the shape of SCI",
                file=path,
                value=f"SCI {shape}, {name} {hdus[name].data.shape}",
                cure="Make the product again; its extensions do not belong together",
            )
    return shape


def window_of(
    file: str | Path,
    instrument: str,
    shape: tuple[int, ...],
    corner: tuple[Any, Any],
    size: tuple[Any, Any],
) -> Window:
    """Work out an exposure's window on the detector.

    Parameters
    ----------
    file : path-like
        Named in errors.
    instrument : str
        INSTRUME, which decides what a full frame is.
    shape : (ny, nx)
        Of the array.
    corner : (SUBSTRT1, SUBSTRT2)
        First column and row, 1-based; None where missing.
    size : (SUBSIZE1, SUBSIZE2)
        Columns and rows; None where missing.

    Raises
    ------
    WindowError
        If a keyword is missing and the array is not a full frame, or is below 1.
    ShapeError
        If SUBSIZE contradicts the array.
    """
    ny, nx = shape
    keywords = dict(zip(PLACE_KEYWORDS, (*corner, *size), strict=True))
    missing = [name for name, value in keywords.items() if value is None]
    if missing:
        full = full_frame(instrument, (ny, nx))
        if full is None:
            raise WindowError(
                "A subarray says where it lies on the detector",
                file=file,
                value=f"no {', '.join(missing)}; the array is {ny}×{nx}, not a full frame",
                cure="Put SUBSTRT1/2 and SUBSIZE1/2 into the primary header",
            )
        return full
    x, y, columns, rows = (_whole(file, name, value) for name, value in keywords.items())
    if (rows, columns) != (ny, nx):
        raise ShapeError(
            "SUBSIZE2 × SUBSIZE1 is the shape of the array",
            file=file,
            value=f"SUBSIZE2 × SUBSIZE1 = {rows}×{columns}, the array is {ny}×{nx}",
            cure="Correct the keywords, or make the product again",
        )
    if x < 1 or y < 1:
        raise WindowError(
            "SUBSTRT1 and SUBSTRT2 count the detector's pixels from 1",
            file=file,
            value=f"{x}, {y}",
            cure="Correct the keywords",
        )
    return Window(x - 1, y - 1, nx, ny)


def _whole(file: str | Path, keyword: str, value: Any) -> int:
    """Return a header value that must be a whole number."""
    number = _number(value)
    if number is None or not number.is_integer():
        raise WindowError(
            f"{keyword} is a whole number",
            file=file,
            value=repr(value),
            cure="Correct the keyword",
        )
    return int(number)


def _number(value: Any) -> float | None:
    """A header value as a float; None where it is missing or no number at all."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
