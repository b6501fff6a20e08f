"""Certificates that are missing or wrong are refused before anybody connects; keys are not said."""

import json
import os
import subprocess
import sys

import dask
import pytest

from bkgflow.clusters.address import Address
from bkgflow.clusters.choose import choose
from bkgflow.clusters.handover import described, revived
from bkgflow.errors import UsageError
from tests.helpers.clusters import ROOT
from tests.helpers.tls import Authority

ADDRESS = "tls://127.0.0.1:1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def mine(authority):
    return authority.issue("driver")


def refused(**given):
    """Open an address with certificates; return what is said before anybody connects."""
    with pytest.raises(UsageError) as caught, Address(ADDRESS, timeout=1, **given).open():
        pass
    assert caught.value.cure
    return caught.value


@pytest.mark.slow
def test_good_files_are_taken_and_then_a_scheduler_must_answer(mine):
    assert "A scheduler must answer" in refused(**mine.given).rule
    together = mine.cert.with_name("together.pem")
    together.write_text(mine.cert.read_text() + mine.key.read_text())
    assert "must answer" in refused(tls_ca_file=str(mine.ca), tls_cert=str(together)).rule


def test_an_encrypted_address_needs_certificates(mine):
    error = refused()
    assert error.value == f"{ADDRESS} without --tls-ca-file and --tls-cert"
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in error.cure
    assert refused(tls_ca_file=str(mine.ca)).value == f"{ADDRESS} without --tls-cert"


def test_certificates_of_an_address_that_is_not_encrypted_are_a_mistake(mine):
    with (
        pytest.raises(UsageError, match=r"an address that is encrypted.*tls://HOST:PORT"),
        Address("tcp://127.0.0.1:1", **mine.given).open(),
    ):
        pass


def test_files_that_are_not_there_or_are_nothing_of_that_sort(mine, authority, tmp_path):
    there, text = mine.given, tmp_path / "text.pem"
    text.write_text("nothing")
    for name, option in (
        ("tls_ca_file", "--tls-ca-file"), ("tls_cert", "--tls-cert"), ("tls_key", "--tls-key"),
    ):  # fmt: skip
        missing = refused(**there | {name: str(tmp_path / "none.pem")})
        assert option in missing.rule and missing.file == str(tmp_path / "none.pem")
        assert missing.value == "No such file or directory"
        other = refused(**there | {name: str(text)})
        assert option in other.rule and other.file == str(text) and "in PEM" in other.rule
    damaged = tmp_path / "damaged.pem"
    damaged.write_text(mine.cert.read_text().replace("M", "N"))
    assert "must be whole" in refused(**there | {"tls_ca_file": str(damaged)}).rule
    assert "must be whole" in refused(**there | {"tls_cert": str(damaged)}).rule
    alone = refused(tls_ca_file=str(mine.ca), tls_cert=str(mine.cert))
    assert "private key" in alone.rule and "--tls-key" in alone.cure
    strange = authority.issue("other")
    mixed = refused(**there | {"tls_key": str(strange.key)})
    assert "must belong to the certificate" in mixed.rule and mixed.file == str(strange.key)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_nobody_may_read(mine, tmp_path):
    hidden = tmp_path / "hidden.key"
    hidden.write_text(mine.key.read_text())
    hidden.chmod(0)
    assert refused(**mine.given | {"tls_key": str(hidden)}).value == "Permission denied"


def test_a_key_with_a_passphrase_asks_nobody_for_it(authority):
    error = refused(**authority.issue("locked", passphrase=b"secret").given)
    assert "passphrase" in error.rule and "openssl pkey" in error.cure


@pytest.mark.parametrize("cluster", [ADDRESS, "tcp://127.0.0.1:1", "local", "threads"])
def test_what_a_key_says_is_refused_and_not_said(cluster, mine):
    with pytest.raises(UsageError) as caught:
        choose(cluster, tls_key=mine.key.read_text())
    assert mine.secret not in caught.value.message


def test_dasks_configuration_says_what_is_left_out(mine):
    config = {
        "distributed.comm.tls.ca-file": str(mine.ca),
        "distributed.comm.tls.client.cert": str(mine.cert),
        "distributed.comm.tls.client.key": str(mine.key),
    }
    with dask.config.set(config):
        security = Address(ADDRESS).security_for(ADDRESS)
        assert security.tls_client_key == str(mine.key) and security.require_encryption
    with dask.config.set({**config, "distributed.comm.tls.ca-file": None}):
        assert Address(ADDRESS, tls_ca_file=str(mine.ca)).security_for(ADDRESS)
        assert refused().value == f"{ADDRESS} without --tls-ca-file"


def test_what_is_handed_over_are_names_of_files_that_count_from_anywhere(mine, monkeypatch):
    monkeypatch.chdir(mine.ca.parent)
    given = choose(ADDRESS, tls_ca_file="ca.pem", tls_cert="driver.pem", tls_key="driver.key")
    assert (given.tls_ca_file, given.tls_key) == (str(mine.ca), str(mine.key))
    text = json.dumps(described(given))
    assert str(mine.key) in text and mine.secret not in text
    assert revived(json.loads(text)) == given


@pytest.mark.slow
def test_temporary_certificates_need_a_package_and_it_is_said_which():
    """In a process of its own, in which it is not there."""
    script = (
        "import sys\n"
        "sys.modules['cryptography'] = None\n"
        "from bkgflow.clusters.local import Local\n"
        "from bkgflow.errors import UsageError\n"
        "try:\n"
        "    with Local(workers=1, tls=True).open():\n"
        "        pass\n"
        "except UsageError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "must be made by the package cryptography" in done.stdout, done.stderr
    assert "bkgflow[tls]" in done.stdout
