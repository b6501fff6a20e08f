"""How a campaign stands, as lines on a terminal and as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from bkgflow.planning.grouped import first_lines
from bkgflow.texts import listed, many

if TYPE_CHECKING:
    from bkgflow.campaign.status import CampaignStatus

__all__ = ["campaign_html", "campaign_lines", "duration"]

BAR = 20
"""Letters of a bar."""

MOST_UNDER_WAY = 5
"""Units that are named of those that are computed now."""


def campaign_lines(status: CampaignStatus, now: float) -> list[str]:
    """Return how a campaign stands, for people, at a time in seconds since 1970."""
    lines = [_first(status)]
    if status.total:
        full = BAR * status.done // status.total
        bar = f"[{'#' * full}{'.' * (BAR - full)}]"
        lines.append(f"{bar} {', '.join(_figures(status))}")
    lines += filter(None, [status.words[:1].upper() + status.words[1:], _run(status, now)])
    if status.under_way:
        lines.append(f"Under way: {listed(_under_way(status, now), MOST_UNDER_WAY)}")
    lines += first_lines(list(status.failures))
    if status.labels:
        lines.append("Labels: " + ", ".join(f"{k}={v}" for k, v in status.labels.items()))
    return lines


def campaign_html(status: CampaignStatus, now: float) -> str:
    """Return the same as HTML: a bar, the lines, and a table of what went wrong."""
    bar = f'<progress value="{status.done}" max="{max(status.total, 1)}"></progress>'
    lines = [_first(status), ", ".join(_figures(status)), status.words, _run(status, now)]
    if status.under_way:
        lines.append(f"under way: {listed(_under_way(status, now), MOST_UNDER_WAY)}")
    text = "<br>".join(escape(each) for each in lines if each)
    rows = "".join(
        f"<tr><td>{each.state.value}</td><td>{len(each.units)}</td><td>{escape(each.text)}</td>"
        f"<td>{escape(listed(each.units))}</td></tr>"
        for each in status.failures
    )
    head = "<tr><th>state</th><th>units</th><th>reason</th><th>targets</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
    return f"<div><p>{bar} {text}</p>{table}</div>"


def duration(seconds: float) -> str:
    """Write a time: "42 s", "3 min 5 s", "2 h 10 min", "3 d 4 h"."""
    whole = max(round(seconds), 0)
    for size, unit, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {below}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _first(status: CampaignStatus) -> str:
    name = f"Campaign {status.campaign}" if status.campaign else "Campaign"
    return f"{name} is {status.state.value}: {status.output}"


def _figures(status: CampaignStatus) -> Iterator[str]:
    from bkgflow.report.tables import counted, human_bytes, per_minute

    counts = f" ({counted(status.counts)})" if status.counts else ""
    yield f"{status.done:,} of {many(status.total, 'unit')} done{counts}"
    if status.rate is not None:
        yield per_minute(status.rate)
    if status.seconds_left is not None:
        yield f"{duration(status.seconds_left)} left"
    yield f"{human_bytes(status.written)} written"


def _run(status: CampaignStatus, now: float) -> str:
    if not status.run:  # a job that waits has none
        return ""
    pid, _, host = status.driver.partition("@")
    parts = [f"Run {status.run}", f"driver {pid}@{host}", f"user {status.user}"]
    if status.started is not None and status.ended is not None:
        parts.append(f"ended {duration(now - status.ended)} ago")
        parts.append(f"took {duration(status.ended - status.started)}")
    elif status.started is not None:
        parts.append(f"began {duration(now - status.started)} ago")
    return ", ".join(parts)


def _under_way(status: CampaignStatus, now: float) -> Iterator[str]:
    for each in status.under_way:
        where = f", {each.where}" if each.where else ""
        yield f"{each.target} ({duration(now - each.since)}{where})"
