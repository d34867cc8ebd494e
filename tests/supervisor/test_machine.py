"""Effects on the machine: the port of the ingress, the lock of the data directory, secrets in files."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.folder_lock import exclusive_lock
from trunkline_supervisor.adapters.secret_file import load_or_create_secret
from trunkline_supervisor.adapters.tcp import claim_port
from trunkline_supervisor.core.errors import SuiteError

from tests.support.network import require_ipv6

HOST = "127.0.0.1"


def test_port_in_use_is_refused_with_the_remedy() -> None:
    """A free one is returned, and any free one for 0."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        with pytest.raises(SuiteError, match=f"^port {port} is in use; choose another one with --port$"):
            claim_port(HOST, port)
    assert claim_port(HOST, port) == port
    assert claim_port(HOST, 0) > 0


@pytest.mark.parametrize("host", ["::1", "localhost", "0.0.0.0"])  # noqa: S104 - the subject of the test
def test_port_is_claimed_on_any_kind_of_address(host: str) -> None:
    """IPv4, IPv6 or a name."""
    if ":" in host:
        require_ipv6()
    port = claim_port(host, 0)
    assert claim_port(host, port) == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::1::"])
def test_address_of_another_machine_is_refused(host: str) -> None:
    """Not as a port in use, which another port would not remedy."""
    with pytest.raises(SuiteError, match="address"):
        claim_port(host, 8080)


def test_data_directory_belongs_to_one_suite(tmp_path: Path) -> None:
    """The lock is released at the end of the block."""
    with exclusive_lock(tmp_path), pytest.raises(SuiteError, match="--data-dir"), exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):
        pass


def test_damaged_secret_is_an_error_of_the_suite(tmp_path: Path) -> None:
    """It names the file, shows nothing of it, and leaves it as it is."""
    file = tmp_path / "resume"
    file.write_bytes(b"canary\xff")
    with pytest.raises(SuiteError, match=f"^cannot read the secret {file}: not UTF-8$"):
        load_or_create_secret(file)
    assert file.read_bytes() == b"canary\xff"


def test_secret_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    """It survives a restart of the suite."""
    file = tmp_path / "secrets" / "resume"
    secret = load_or_create_secret(file)
    assert len(secret) == 64
    assert load_or_create_secret(file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
