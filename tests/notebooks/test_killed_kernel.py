"""A campaign that a notebook has submitted outlives its kernel."""

from __future__ import annotations

import os
import signal
import time

import pytest
from jupyter_client.manager import start_new_kernel

import bkgflow
from bkgflow.simulate import simulate_imaging
from tests.helpers.kernels import KERNEL, own_kernel

CELL = """
import bkgflow
plan = bkgflow.plan({program!r}, {output!r}, sigma=2.0)
campaign = bkgflow.submit(plan, workers=1)
campaign
"""


def run_cell(client, code):
    """Execute code; return what it shows, or fail with what it raised."""
    shown = []
    reply = client.execute_interactive(code, timeout=120, output_hook=shown.append)
    assert reply["content"]["status"] == "ok", reply["content"]
    return [each["content"]["data"] for each in shown if each["msg_type"] == "display_data"]


@pytest.mark.slow
def test_a_killed_kernel_leaves_the_campaign_alone(tmp_path):
    program, output = tmp_path / "program", tmp_path / "products"
    simulate_imaging(program, targets=40, backgrounds=3, size=64)
    with own_kernel(tmp_path / "jupyter") as environment:
        manager, client = start_new_kernel(kernel_name=KERNEL, env=environment, cwd=str(tmp_path))
    try:
        shown = run_cell(client, CELL.format(program=str(program), output=str(output)))
        assert any("Campaign" in each.get("text/html", "") for each in shown)
        pid = manager.provisioner.pid
        done = bkgflow.Campaign.open(output).status().done
        # The whole process group, as the end of a session, or of a server, takes it.
        os.killpg(os.getpgid(pid), signal.SIGKILL)
    finally:
        client.stop_channels()
        deadline = time.monotonic() + 30
        while manager.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not manager.is_alive()
        manager.cleanup_resources()
    assert done < 40, "the campaign was over before the kernel was killed"
    campaign = bkgflow.Campaign.open(output)
    status = campaign.wait(timeout=200)
    assert status.state == "complete"
    assert status.counts["COMPLETE"] == 40
    assert status.driver
    assert f"{pid}@" not in status.driver
    assert len(list(output.glob("*_bsub.fits"))) == 40
    assert (campaign.results()["state"] == "COMPLETE").all()
