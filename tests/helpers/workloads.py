"""Workloads that are given to executors as a plan's is, and listeners that keep what they tell."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from functools import partial

from bkgflow.graph.workload import Parts


class Listed:
    """Units with their tasks; those of one group wait for the parts that ``part`` computes.

    Parameters
    ----------
    tasks : dict
        By unit: its last task.
    groups : dict
        By unit: the group that it belongs to; each group is one shared result.
    part : callable
        Called with the divisor, for each of a group's parts.
    """

    def __init__(self, tasks, groups=None, part=None, parts=1):
        self.tasks, self.groups = tasks, groups or {}
        self.part, self.number = part, parts
        self.built = Counter()

    @property
    def units(self):
        return tuple(self.tasks)

    def shared(self, unit):
        return self.groups.get(unit, "")

    group = shared

    def parts(self, shared, divisor=1):
        tasks, keys = {}, {}
        for each in shared:
            self.built[each, divisor] += 1
            keys[each] = [(f"combine-{each}", number) for number in range(self.number)]
            tasks |= {key: (partial(self.part, divisor),) for key in keys[each]}
        return Parts(tasks, keys)

    def last(self, unit):
        return f"subtract-{unit}", self.tasks[unit]


def account_of(heard):
    """All that was said, and how each unit ended, as text: pytest shows it whole."""
    ends = [f"{unit}: {each.state.value} {each.reason}" for unit, each in heard.ends.items()]
    return "\n".join(["", *heard.said, *ends])


class Heard:
    """Keeps what an executor tells, in order and by unit."""

    def __init__(self, at_first=lambda: None, at_end=lambda number: None):
        self.at_first, self.at_end = at_first, at_end
        self.told, self.said, self.ends = [], [], {}
        self.attempts = defaultdict(list)
        self.open, self.most, self.threads = set(), 0, set()

    def start(self, unit):
        self.told.append(("start", unit))
        self.threads.add(threading.current_thread())
        self.open.add(unit)
        self.most = max(self.most, len(self.open))
        if len(self.told) == 1:
            self.at_first()

    def attempt(self, unit, attempt):
        assert unit not in self.ends
        self.told.append(("attempt", unit))
        self.attempts[unit].append(attempt)

    def end(self, unit, verdict):
        assert unit not in self.ends
        self.told.append(("end", unit))
        self.ends[unit] = verdict
        self.open.discard(unit)
        self.at_end(len(self.ends))

    def say(self, text):
        self.said.append(text)

    def execute(self, executor, work, **policy):
        """Have an executor compute; return this."""
        from bkgflow.clusters.policy import RetryPolicy

        policy = RetryPolicy(**{"pause": 0.05, **policy})
        executor.execute(work, self.start, self.end, self.say, self.attempt, policy)
        return self

    @property
    def states(self):
        return Counter(verdict.state.value for verdict in self.ends.values())

    def story(self, unit):
        """The states of a unit's attempts."""
        return [attempt.state for attempt in self.attempts[unit]]
