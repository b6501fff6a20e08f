"""The peer's tests of image-from-image subtraction, all of them, with bkgflow underneath."""

import jwst.background.tests.test_background as peer
import pytest
from jwst.background.tests.test_background import *  # noqa: F403

from tests.peer.adapter import BackgroundStep


@pytest.fixture(autouse=True)
def _bkgflow_instead_of_the_peer(monkeypatch):
    monkeypatch.setattr(peer, "BackgroundStep", BackgroundStep)


@pytest.fixture
def tmp_cwd(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_test_of_the_peer_is_here():
    theirs = {name for name in vars(peer) if name.startswith("test_")}
    assert len(theirs) >= 9
    assert theirs <= set(globals())
