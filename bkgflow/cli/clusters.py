"""``bkgflow clusters``: where a run may compute, and whether it works there."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

from bkgflow.cli.cluster_options import takes_cluster_options
from bkgflow.cli.options import Values
from bkgflow.cli.spelling import Command, Narrow

__all__ = ["clusters"]


class _Group(Narrow, TyperGroup):
    """The commands about clusters."""


clusters = typer.Typer(
    name="clusters",
    cls=_Group,
    help="Where a run may compute: the profiles there are, what they mean, whether they work.",
    no_args_is_help=True,
)

Profile = Annotated[
    str, typer.Argument(metavar="PROFILE", help="As for --cluster: a word, an address, a profile.")
]


@clusters.command("list", cls=Command)
def _list() -> None:
    """List what --cluster takes by a word: kinds of clusters, and profiles that were found."""
    from bkgflow import api

    for each in api.list_clusters():
        where = each.file or "a kind"
        typer.echo(f"{each.name:<20} {each.kind:<12} {where}")
        if each.file and each.words:
            typer.echo(f"{'':<20} {each.words}")


@clusters.command("show", cls=Command)
@takes_cluster_options
def _show(profile: Profile, *, where: Values) -> None:
    """Show all settings of a cluster, and the jobs or pods that it would ask for."""
    from bkgflow import api

    typer.echo(api.show_cluster(profile, **where))


@clusters.command("check", cls=Command)
@takes_cluster_options
def _check(
    profile: Profile,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder that workers must see; may be given several times.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            help="A folder that workers share with this machine, for some small files meanwhile.",
            metavar="DIR",
            show_default="the working folder",
        ),
    ] = None,
    *,
    where: Values,
) -> None:
    """Try a cluster: start one worker, have it do a small unit, and end it.

    Says the worker's versions, its memory and the folders that it sees. Exit code 0: all is
    well; 1 or 2: what is not, and the cure.
    """
    from bkgflow import api

    api.check_cluster(profile, folder or (), within=within, say=typer.echo, **where)
