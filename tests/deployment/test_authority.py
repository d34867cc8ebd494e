"""The private certificate authority of the control host."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.scripts import script

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
AUTHORITY = script("pki", "authority")


def request(*names: str) -> dict[str, Any]:
    """Return a request for the certificate of one server of one host."""
    return {"leaves": {"h1": {"nats": list(names)}}, "days": 825, "renew_within_days": 30}


def handshake(server: Path, trusted: Path, name: str) -> None:
    """Connect over TLS to a server with a certificate, as a client that trusts an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server, server.with_suffix(".key"))
    near, far = socket.socketpair()
    with near, far:
        thread = threading.Thread(target=_serve, args=(context, far))
        thread.start()
        try:
            ssl.create_default_context(cafile=str(trusted)).wrap_socket(near, server_hostname=name).close()
        finally:
            near.close()
            thread.join(timeout=10)


def _serve(context: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        return  # the client refused


def test_client_accepts_a_host_under_its_names_only(tmp_path: Path) -> None:
    """Addresses are names too: servers are reached by address."""
    now = dt.datetime.now(dt.UTC)
    AUTHORITY.main(tmp_path, request("h1", "10.0.0.1"), now)
    leaf, authority = tmp_path / "h1" / "nats.pem", tmp_path / "ca.pem"
    handshake(leaf, authority, "h1")
    handshake(leaf, authority, "10.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf, authority, "10.0.0.2")


def test_second_run_draws_nothing(tmp_path: Path) -> None:
    """A playbook that runs again leaves every server as it is."""
    assert AUTHORITY.main(tmp_path, request("h1"), NOW) == ["ca.pem", "h1/nats.pem"]
    assert AUTHORITY.main(tmp_path, request("h1"), NOW) == []


def test_certificate_is_drawn_again_for_other_names_and_before_its_end(tmp_path: Path) -> None:
    """A host that moves gets a certificate for its new address; one that runs for years never an expired one."""
    AUTHORITY.main(tmp_path, request("h1"), NOW)
    assert AUTHORITY.main(tmp_path, request("h1", "10.0.0.9"), NOW) == ["h1/nats.pem"]
    assert AUTHORITY.main(tmp_path, request("h1", "10.0.0.9"), NOW + dt.timedelta(days=794)) == []
    assert AUTHORITY.main(tmp_path, request("h1", "10.0.0.9"), NOW + dt.timedelta(days=796)) == ["h1/nats.pem"]


def test_former_authority_stays_trusted_while_it_is_replaced(tmp_path: Path) -> None:
    """Servers change certificates one after another: in between, clients accept old and new ones."""
    now = dt.datetime.now(dt.UTC)
    AUTHORITY.main(tmp_path, request("h1"), now)
    old = tmp_path / "old.pem"
    old.write_bytes((tmp_path / "h1" / "nats.pem").read_bytes())
    old.with_suffix(".key").write_bytes((tmp_path / "h1" / "nats.key").read_bytes())
    (tmp_path / "ca.key").unlink()
    assert AUTHORITY.main(tmp_path, request("h1"), now) == ["ca.pem", "h1/nats.pem"]
    handshake(old, tmp_path / "ca.pem", "h1")
    handshake(tmp_path / "h1" / "nats.pem", tmp_path / "ca.pem", "h1")


def test_new_authority_is_known_everywhere_before_it_signs(tmp_path: Path) -> None:
    """The runbook's order: processes that trust the old one alone are restarted before a server changes."""
    now = dt.datetime.now(dt.UTC)
    folder, new = tmp_path / "pki", tmp_path / "pki-new"
    AUTHORITY.main(folder, request("h1"), now)
    AUTHORITY.main(new, {"leaves": {}, "days": 825, "renew_within_days": 30}, now)
    old_authority, new_authority = (each / "ca.pem" for each in (folder, new))
    both = old_authority.read_bytes() + new_authority.read_bytes()
    (folder / "ca.pem").write_bytes(both)
    assert AUTHORITY.main(folder, request("h1"), now) == []
    (folder / "ca.pem").write_bytes(new_authority.read_bytes() + both)
    (new / "ca.key").replace(folder / "ca.key")
    assert AUTHORITY.main(folder, request("h1"), now) == ["h1/nats.pem"]
    trusted = tmp_path / "both.pem"
    trusted.write_bytes(both)
    handshake(folder / "h1" / "nats.pem", trusted, "h1")


def test_keys_are_closed_to_other_accounts(tmp_path: Path) -> None:
    """The readers of `ca.key` can sign certificates for every server."""
    AUTHORITY.main(tmp_path, request("h1"), NOW)
    for key in tmp_path.rglob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
