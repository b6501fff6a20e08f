"""``python -m benchmarks``; every contender's process imports this again, so it is short."""

from __future__ import annotations

if __name__ == "__main__":
    from benchmarks.commands import app

    app()
