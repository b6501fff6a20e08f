"""Options that say where something runs, made from the settings of all kinds of clusters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import or_
from typing import get_args

import typer

from bkgflow.cli.given import parameter, takes
from bkgflow.clusters.choose import CLUSTERS, SUMMARY, options_by_kind

__all__ = ["takes_cluster", "takes_cluster_options"]


def takes_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where it runs: which cluster, and its settings.

    The command gets them all as one mapping, ``where``, for `bkgflow.clusters.choose.choose`.
    """
    words = typer.Option(help=f"Where it is computed: {SUMMARY}.", metavar="WHERE")
    first = parameter("cluster", str, next(iter(CLUSTERS)), words)
    return takes(command, "where", [first, *_cluster_options()])


def takes_cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that is told the cluster already the options for its settings."""
    return takes(command, "where", _cluster_options())


def _cluster_options() -> list[inspect.Parameter]:
    made = []
    for prefix, options in options_by_kind().items():
        for name, (kind, option) in options.items():
            flag = [f"--{name.replace('_', '-')}"] if kind is bool else []  # none turns it off
            words = typer.Option(
                *flag,
                help=option.help,
                min=option.least,
                metavar="" if flag else option.metavar or _metavar(kind),
                show_default=option.default,
                rich_help_panel=f"Clusters of the kind {prefix}" if prefix else None,
            )
            # None stands for what was not given.
            made.append(parameter(name, or_(kind, None), None, words))
    return made


def _metavar(kind: object) -> str:
    return "N" if int in get_args(kind) else "WORD"
