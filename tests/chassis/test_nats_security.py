"""Credentials and TLS of the connection to NATS, on a real nats-server."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nkeys
import pytest
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusConfigError, BusUnavailableError
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_supervisor.adapters.tcp import free_port

SERVER = str(Path(sys.executable).parent / "nats-server")


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Start nats-servers with a configuration; they end with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(config: str) -> int:
        port = free_port()
        file = tmp_path / f"nats-{port}.conf"
        file.write_text(f'listen: "127.0.0.1:{port}"\n{config}\n')
        with (tmp_path / "log").open("a") as log:
            processes.append(subprocess.Popen([SERVER, "--config", str(file)], stdout=log, stderr=log))
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


def start_alone(file: Path, config: str) -> subprocess.Popen[bytes]:
    """Start a server that the test itself ends."""
    file.write_text(config)
    return subprocess.Popen([SERVER, "--config", str(file)], stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, and a server's and a client's certificate signed by it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("pki")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *curve, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("server", "client"):
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


async def test_credentials_in_the_url_are_percent_decoded(start_server: Callable[[str], int]) -> None:
    """A password may contain every character."""
    port = start_server('authorization { user: "ada", password: "p@ss:w/rd,1%" }')
    bus = await connect(f"nats://ada:p%40ss%3Aw%2Frd%2C1%25@127.0.0.1:{port}", "test")
    await bus.close()


async def test_credentials_in_variables_take_precedence(start_server: Callable[[str], int]) -> None:
    """So that no password needs to be part of an address."""
    port = start_server('authorization { user: "ada", password: "secret" }')
    bus = await connect(f"nats://127.0.0.1:{port}", "test", security=NatsSecurity(user="ada", password="secret"))
    await bus.close()


async def test_wrong_password_is_one_clear_error_at_once(start_server: Callable[[str], int]) -> None:
    """Without the password, and without the 20 s of a server that is not up yet."""
    port = start_server('authorization { user: "ada", password: "secret" }')
    bus = await connect(f"nats://ada:secret@127.0.0.1:{port}", "test")
    await bus.close()
    with pytest.raises(BusConfigError) as refusal:
        await connect(f"nats://ada:guess@127.0.0.1:{port}", "ingress", timeout_s=600)
    assert str(refusal.value) == f"NATS at nats://127.0.0.1:{port} refused the credentials of ingress"


async def test_server_that_is_down_is_named_without_credentials() -> None:
    """The message may end in a log."""
    with pytest.raises(BusUnavailableError) as failure:
        await connect(f"nats://ada:secret@127.0.0.1:{free_port()}", "test", timeout_s=0.2)
    assert "secret" not in str(failure.value)


async def test_tls_with_a_client_certificate(start_server: Callable[[str], int], certificates: Path) -> None:
    """The server proves its name, the client its certificate."""
    port = start_server(
        f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key", '
        f'ca_file: "{certificates}/ca.pem", verify: true }}'
    )
    security = NatsSecurity(
        ca=certificates / "ca.pem", cert=certificates / "client.pem", key=certificates / "client.key"
    )
    bus = await connect(f"tls://127.0.0.1:{port}", "test", security=security)
    served = bus.server_certificate
    assert served is not None
    assert served == ssl.PEM_cert_to_DER_cert((certificates / "server.pem").read_text())
    await bus.close()
    without = NatsSecurity(ca=certificates / "ca.pem")
    with pytest.raises(BusUnavailableError):
        await connect(f"tls://127.0.0.1:{port}", "test", security=without, timeout_s=0.5)


async def test_certificate_of_another_authority_is_refused(
    start_server: Callable[[str], int], certificates: Path
) -> None:
    """The system's authorities have not signed it."""
    port = start_server(f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key" }}')
    with pytest.raises(BusUnavailableError):
        await connect(f"tls://127.0.0.1:{port}", "test", timeout_s=0.5)


@pytest.mark.parametrize(
    ("url", "security", "reason"),
    [
        ("nats://ada@h:1", NatsSecurity(creds=Path(__file__)), "set one of user and password, nkey, creds"),
        ("nats://h:1", NatsSecurity(nkey=Path("/missing/seed")), "cannot read /missing/seed: No such file"),
        ("tls://h:1", NatsSecurity(ca=Path("/missing/ca.pem")), "cannot read /missing/ca.pem"),
        ("tls://h:1", NatsSecurity(ca=Path(__file__)), "cannot load the TLS certificate or key"),
        ("nats://", NatsSecurity(), "is not an address"),
    ],
)
async def test_unusable_configuration_is_named(url: str, security: NatsSecurity, reason: str) -> None:
    """Before a connection is tried."""
    with pytest.raises(BusConfigError, match=reason):
        await connect(url, "test", security=security)


def test_passwords_are_not_shown() -> None:
    """Neither in a log nor in a traceback."""
    assert "secret" not in repr(NatsSecurity(user="ada", password="secret"))


async def test_client_proves_its_key(start_server: Callable[[str], int], tmp_path: Path) -> None:
    """The server knows the public half of the seed, and refuses the one of another."""
    for name in ("own", "other"):
        (tmp_path / name).write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER) + b"\n")
    public = nkeys.from_seed(bytearray((tmp_path / "own").read_bytes().strip())).public_key.decode()
    port = start_server(f"authorization {{ users: [{{ nkey: {public} }}] }}")
    bus = await connect(f"nats://127.0.0.1:{port}", "test", security=NatsSecurity(nkey=tmp_path / "own"))
    await bus.close()
    with pytest.raises(BusConfigError, match="refused the credentials"):
        await connect(f"nats://127.0.0.1:{port}", "test", security=NatsSecurity(nkey=tmp_path / "other"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("nkey", "canary", "has no valid NKEY seed"),
        ("nkey", "", "has no valid NKEY seed"),
        ("creds", "canary\n", "has no user JWT"),
        ("creds", "-----BEGIN NATS USER JWT-----", "has no user JWT"),
        ("creds", "-----BEGIN NATS USER JWT-----\ncanary\n", "has no valid NKEY seed"),
        (
            "creds",
            "-----BEGIN NATS USER JWT-----\ncanary\n-----BEGIN USER NKEY SEED-----\ncanary\n",
            "has no valid NKEY seed",
        ),
    ],
)
async def test_damaged_credentials_file_is_named_without_its_content(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    """Before a connection is tried: the client would read some of them without end."""
    file = tmp_path / "file"
    file.write_text(content)
    security = NatsSecurity(nkey=file) if name == "nkey" else NatsSecurity(creds=file)
    with pytest.raises(BusConfigError, match=reason) as refusal:
        await connect("nats://127.0.0.1:1", "test", security=security)
    assert "canary" not in str(refusal.value)


def _claims_of(kind: str, subject: nkeys.KeyPair, issuer: nkeys.KeyPair, **claims: object) -> str:
    """Return a JWT of NATS: the claims of a subject, signed by its issuer."""
    now = int(time.time())
    payload = {
        "jti": secrets.token_hex(16),
        "iat": now,
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": kind,
        "nats": {"type": kind, "version": 2, **claims},
    }
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, payload)]
    head = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (head + b"." + base64.urlsafe_b64encode(issuer.sign(head)).rstrip(b"=")).decode()


def _key_pair(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


async def test_credentials_file_of_an_account_is_accepted_and_that_of_a_stranger_refused(
    start_server: Callable[[str], int], tmp_path: Path
) -> None:
    """The server trusts an operator, the operator an account, and the account its users."""
    operator, account, stranger = (
        _key_pair(prefix)
        for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_ACCOUNT)
    )
    (tmp_path / "operator.jwt").write_text(_claims_of("operator", operator, operator))
    unlimited = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
    known = _claims_of("account", account, operator, limits={**unlimited, "wildcards": True})
    port = start_server(
        f'operator: "{tmp_path}/operator.jwt"\nresolver: MEMORY\n'
        f"resolver_preload: {{ {account.public_key.decode()}: {known} }}"
    )
    for issuer in (account, stranger):
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        user = _claims_of("user", nkeys.from_seed(bytearray(seed)), issuer, subs=-1, data=-1, payload=-1)
        file = tmp_path / "user.creds"
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
        )
        if issuer is account:
            bus = await connect(f"nats://127.0.0.1:{port}", "test", security=NatsSecurity(creds=file))
            await bus.close()
        else:
            with pytest.raises(BusConfigError, match="refused the credentials"):
                await connect(f"nats://127.0.0.1:{port}", "test", security=NatsSecurity(creds=file))


async def test_silent_server_is_left_at_once_over_tls(
    start_server: Callable[[str], int], certificates: Path, tmp_path: Path
) -> None:
    """Its part of the TLS close never comes; asyncio would wait 30 s for it."""
    config = (
        f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key", '
        f'ca_file: "{certificates}/ca.pem" }}'
    )
    other, silent = start_server(config), free_port()
    server = start_alone(tmp_path / "silent.conf", f'listen: "127.0.0.1:{silent}"\n{config}\n')
    try:
        security = NatsSecurity(ca=certificates / "ca.pem")
        await (await connect(f"tls://127.0.0.1:{silent}", "test", security=security)).close()  # it is up
        url = f"tls://127.0.0.1:{silent},tls://127.0.0.1:{other}"
        bus = await connect(url, "test", security=security)
        assert bus.address.endswith(f":{silent}")
        reconnected = asyncio.Event()
        bus.on_reconnect.append(reconnected.set)
        server.send_signal(signal.SIGSTOP)
        for _ in range(9):  # more than the sockets between them hold
            await bus.publish("work.sent", bytes(900_000))
        await asyncio.sleep(0.5)
        await bus.client.force_reconnect()
        async with asyncio.timeout(20):  # the next attempt at the silent server ends after 2 s
            await reconnected.wait()
        assert bus.address.endswith(f":{other}")
        await bus.close()
    finally:
        server.kill()
        server.wait(10)
