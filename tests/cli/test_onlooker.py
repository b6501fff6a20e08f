"""Commands that only look on: what they say when they are ended."""

import pytest

import bkgflow
from bkgflow.cli.onlooker import onlooker
from bkgflow.errors import UsageError


def test_who_ends_them_is_told_that_the_campaign_goes_on(capsys):
    with pytest.raises(KeyboardInterrupt), onlooker("o'ut [1]"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == (
        "bkgflow: the campaign itself goes on; end it with: bkgflow cancel 'o'\"'\"'ut [1]'\n"
    )
    with onlooker("out"):
        pass
    assert capsys.readouterr().err == ""


def test_a_label_is_given_once(folder, bkgflow_):
    labels = ("--label=a=1", "--label= a =2", "--label=b=3")
    code, _, err = bkgflow_("run", "program", "--output=out", "--cluster=threads", *labels)
    assert code == 2
    assert "A label must be given once (found: a)" in err


@pytest.mark.parametrize("timeout", [float("nan"), -1.0])
def test_a_time_to_wait_must_be_one(timeout, folder):
    bkgflow.run(bkgflow.plan("program", "out"), "threads")
    with pytest.raises(UsageError, match="must be 0 seconds or more"):
        bkgflow.Campaign.open("out").wait(timeout)
