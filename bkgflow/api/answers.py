"""What a campaign answers when it is asked, and how it is mended."""

from __future__ import annotations

from bkgflow.campaign.answers import clean as cleaning
from bkgflow.campaign.answers import diff as differences
from bkgflow.campaign.answers import explain as explaining
from bkgflow.campaign.answers import export as exporting
from bkgflow.campaign.answers import found as finding
from bkgflow.campaign.answers import rebuild as rebuilding
from bkgflow.campaign.answers import verify as verifying
from bkgflow.campaign.answers.asked import Tell
from bkgflow.campaign.answers.clean import Cleaned
from bkgflow.campaign.answers.diff import WORST, Differences
from bkgflow.campaign.answers.explanation import Explained
from bkgflow.campaign.answers.export import Exported
from bkgflow.campaign.answers.found import Campaigns
from bkgflow.campaign.answers.rebuild import Rebuilt
from bkgflow.campaign.answers.verify import Verified
from bkgflow.io.storage.location import PathLike

__all__ = ["clean", "diff", "explain", "export", "list_campaigns", "rebuild", "verify"]


def explain(output: PathLike, unit: str) -> Explained:
    """Say why a unit of a campaign is done, stale, skipped, failed, refused or left.

    Nothing is planned: that inputs have changed is told by their sizes and times, where they lie
    beside the target, the association, or files that the settings name.

    Parameters
    ----------
    output : path
        The campaign's output folder.
    unit : str
        Its product's or its target's file name, a pattern such as ``jw0128*``, or a part of
        these.

    Returns
    -------
    Explained
        ``units`` has an `Explanation` for each that fits: what it was made from, its products,
        every attempt and event. Prints all of one, a line for each of several.

    Raises
    ------
    UsageError
        If no unit has such a name.
    LedgerError
        If there is no ledger, or it cannot be read.
    """
    return explaining.explain(output, unit)


def verify(output: PathLike, *, quick: bool = False, tell: Tell | None = None) -> Verified:
    """See whether every product of a campaign is there, opens, and has the bytes that it had.

    Parameters
    ----------
    output : path
        The campaign's output folder; it is not held, and a run may go on.
    quick : bool
        Look at sizes and headers alone; else every byte is read.
    tell : callable, optional
        Told how many files of how many are done.

    Returns
    -------
    Verified
        ``ok`` (bool), ``wrong`` and ``files`` with why and the cure, and ``unknown``: files
        that the ledger does not know.

    Raises
    ------
    LedgerError
        If there is no ledger, or it cannot be read.
    """
    return verifying.verify(output, quick=quick, tell=tell)


def export(output: PathLike, to: PathLike | None = None, *, format: str = "") -> Exported:
    """Return a campaign as a table, a row for each unit, and write it to a file.

    Parameters
    ----------
    output : path
        The campaign's output folder.
    to : path, optional
        A file that ends with ``.csv``, ``.parquet`` (which wants ``bkgflow[export]``) or
        ``.ecsv``; without it nothing is written.
    format : str
        "csv", "parquet" or "ecsv", whatever the file is called.

    Returns
    -------
    Exported
        ``to_frame()`` is the table; its docstring says the columns.

    Raises
    ------
    UsageError
        If there is no such format, or the library that writes it is not installed.
    LedgerError
        If there is no ledger, or it cannot be read.
    OutputError
        If the file cannot be written.
    """
    return exporting.export(output, to, form=format)


def list_campaigns(folder: PathLike, *, tell: Tell | None = None) -> Campaigns:
    """Find the campaigns in a folder and below it.

    Parameters
    ----------
    folder : path
        Where to look; links to folders are followed, hidden folders are not.
    tell : callable, optional
        Told how many campaigns of how many were read.

    Returns
    -------
    Campaigns
        ``found`` has a `FoundCampaign` for each: units by state, labels, last run, size; one whose
        ledger cannot be read says why.

    Raises
    ------
    UsageError
        If the folder cannot be read.
    """
    return finding.list_campaigns(folder, tell=tell)


def clean(output: PathLike, *, yes: bool = False, keep_products: bool = False) -> Cleaned:
    """Show, or remove, what nobody wants any more in a campaign's folder.

    These are files that dead runs began, products of units that the program has no more or of
    which there is a newer version, combined backgrounds that nobody asks for any more, and old
    logs. Never an input, a product that is current, or a file that bkgflow did not write.

    Parameters
    ----------
    output : path
        The campaign's output folder.
    yes : bool
        Remove it; else it is only shown.
    keep_products : bool
        Leave all products and combined backgrounds.

    Returns
    -------
    Cleaned
        ``unwanted`` names each file with its size and why.

    Raises
    ------
    LedgerError
        If there is no ledger, or it cannot be read.
    OutputError
        If a run holds the folder.
    """
    return cleaning.clean(output, yes=yes, keep_products=keep_products)


def rebuild(
    output: PathLike,
    *,
    ledger: PathLike = "",
    store: PathLike = "",
    anew: bool = False,
    tell: Tell | None = None,
) -> Rebuilt:
    """Make a campaign's ledger again from its products, where it is lost or damaged.

    What was in its place is kept beside it. Units of which a plan still wants the same are
    complete then, and not done again. A ledger that is whole stays as it is.

    Parameters
    ----------
    output : path
        The campaign's output folder; it is held meanwhile, as by a run.
    ledger : path or URL, optional
        Where the ledger is to be, if not where it was.
    store : path or URL, optional
        A zarr store that products lie in, where nothing in the folder says so.
    anew : bool
        Make it again although there is one that is whole, or of a newer version.
    tell : callable, optional
        Told how many files of how many were read.

    Returns
    -------
    Rebuilt
        ``units`` and ``files`` that it has, what is ``kept`` beside it, and files that were
        ``left_out`` with the reason.

    Raises
    ------
    UsageError
        If there is no such folder.
    LedgerError
        If the ledger is of a newer version, or its database does not answer; or if none of the
        products is there that the last run has written.
    OutputError
        If a run holds the folder, or it cannot be written to; or if a store does not answer.
    """
    return rebuilding.rebuild(output, ledger=ledger, store=store, anew=anew, tell=tell)


def diff(
    a: PathLike,
    b: PathLike,
    *,
    pictures: PathLike | None = None,
    worst: int = WORST,
    tell: Tell | None = None,
) -> Differences:
    """Say what is different in two output folders, unit by unit, the worst first.

    Units are matched by the names of their products. A folder without a ledger is compared by
    its products alone.

    Parameters
    ----------
    a, b : path
        The folders.
    pictures : path, optional
        A folder in which the worst are drawn: A, B and their difference.
    worst : int
        How many.
    tell : callable, optional
        Told how many units of how many were compared.

    Returns
    -------
    Differences
        ``changes`` has a `Change` for each unit: states, scales, templates, and how many pixels
        of SCI and DQ differ, by how much.

    Raises
    ------
    UsageError
        If a folder holds neither a campaign nor products, or matplotlib is wanted and missing.
    OutputError
        If a picture cannot be written.
    """
    return differences.diff(a, b, pictures=pictures, worst=worst, tell=tell)
