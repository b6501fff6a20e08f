"""Files on web servers: what their URLs say, and byte ranges that not every server gives."""

from __future__ import annotations

__all__ = ["is_web"]

WEB = ("http://", "https://")


def is_web(url: str) -> bool:
    """Whether a URL is one of a web server, in which a query may follow the path."""
    return url.startswith(WEB)
