"""Who else hears of a run, as its user asks for it: people, by notifications; Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

from bkgflow.campaign.events import Listener
from bkgflow.campaign.messengers import messenger_of
from bkgflow.campaign.metrics import address_of, served
from bkgflow.campaign.notify import Notifier
from bkgflow.planning.plan import Plan

__all__ = ["check_watchers", "watchers"]


def check_watchers(notify: object = None, metrics: object = None) -> None:
    """Refuse targets and addresses that cannot be right, before there is a plan.

    Raises
    ------
    UsageError
        As `watchers`, but for a port that is taken.
    """
    if notify is not None:
        messenger_of(notify)
    if metrics is not None:
        address_of(metrics)


@contextmanager
def watchers(
    plan: Plan,
    notify: object = None,
    metrics: object = None,
    labels: Mapping[str, str] | None = None,
) -> Iterator[list[Listener]]:
    """Give the listeners of a run that its user asks for; end afterwards what they have started.

    Parameters
    ----------
    notify : str or sequence of str, optional
        Where notifications go: a URL, or a command.
    metrics : int or str, optional
        Where metrics are served: ``PORT`` or ``HOST:PORT``.
    labels : mapping, optional
        What notifications say of the campaign.

    Raises
    ------
    UsageError
        If one of them cannot be right, or the port is taken.
    """
    with ExitStack() as stack:
        told: list[Listener] = []
        if notify is not None:
            told.append(stack.enter_context(closing(Notifier(messenger_of(notify), plan, labels))))
        if metrics is not None:
            told.append(stack.enter_context(served(plan, address_of(metrics))))
        yield told
