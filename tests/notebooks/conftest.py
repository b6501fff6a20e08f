"""What running a notebook leaves in a process of tests is put back."""

import signal

import pytest


@pytest.fixture(autouse=True)
def signals():
    """nbclient takes the signals of its process for the time of a notebook, and then drops them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)
