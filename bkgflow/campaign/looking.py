"""Looking at a run again and again: a ledger that does not answer for a while is no end of it."""

from __future__ import annotations

from bkgflow.campaign.status import CampaignStatus, status_of
from bkgflow.errors import LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of

__all__ = ["look_again"]


def look_again(output: Location) -> CampaignStatus | LedgerError:
    """Look how a campaign stands; return why that is not known now, while its run goes on.

    A run outlives a database that does not answer for a while: so does who waits for it.
    """
    try:
        return status_of(output)
    except LedgerError as error:
        if holder_of(output) is None:
            raise
        return error
