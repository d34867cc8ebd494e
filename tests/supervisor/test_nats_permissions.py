"""The embedded nats-server grants each service exactly its row of the permission table."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from trunkline_protocols.permissions import PRINCIPALS, SERVICES, Principal, inbox_prefix, permissions
from trunkline_supervisor.adapters.nats_credentials import NatsCredentials, load_nats_credentials
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.permission_probe import EVERYTHING, refused_by_table, settle, try_subjects

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NatsNode, NatsCredentials]]:
    """A server with accounts, as `trunkline up` starts it."""
    folder = tmp_path_factory.mktemp("locked")
    node = NatsNode("nats-1", folder / "nats", free_port())
    credentials = load_nats_credentials(folder / "secrets", region="local")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(nats_server_command(node, [node], credentials), stdout=log, stderr=log)
        try:
            yield node, credentials
        finally:
            process.terminate()
            process.wait(10)


async def open_client(server: tuple[NatsNode, NatsCredentials], user: str, violations: list[str]) -> Client:
    """Connect as a user; refusals of the server are collected."""
    node, credentials = server

    async def on_error(error: Exception) -> None:
        violations.append(str(error))

    deadline = time.monotonic() + 20
    while True:
        try:
            return await nats.connect(
                **credentials.security(user).options(node.url), error_cb=on_error, inbox_prefix=inbox_prefix(user)
            )
        except (nats.errors.Error, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_principal_may_do_exactly_what_the_table_grants(
    server: tuple[NatsNode, NatsCredentials], principal: Principal
) -> None:
    """Every subject of the catalogue, the JetStream API and all inboxes, published to and subscribed to."""
    violations: list[str] = []
    client = await open_client(server, principal, violations)
    refused = await try_subjects(client, principal, violations, EVERYTHING)
    assert refused == refused_by_table(principal, region="local").lower()


async def test_stolen_knowledge_credentials_read_no_conversation(server: tuple[NatsNode, NatsCredentials]) -> None:
    """Neither messages nor commits nor work, by subscription, by reading a stream or by a consumer."""
    violations: list[str] = []
    client = await open_client(server, "rag", violations)
    targets = ("inbox.>", "conv.>", "work.>", "out.>", "result.>", "$KV.SNAPSHOTS.>", "$KV.DESK.>")
    for subject in targets:
        await client.subscribe(subject)
    for stream in ("INBOX", "CONVERSATIONS", "WORK", "KV_SNAPSHOTS", "KV_DESK"):
        for verb in ("STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.CREATE", "STREAM.SNAPSHOT"):
            await client.publish(f"$JS.API.{verb}.{stream}", b"{}")
    await settle(client, violations)
    assert len(violations) == len(targets) + 5 * 4


@pytest.mark.parametrize(("user", "password"), [("", ""), ("rag", "wrong"), ("unknown", "x")])
async def test_server_refuses_clients_without_credentials(
    server: tuple[NatsNode, NatsCredentials], user: str, password: str
) -> None:
    """No anonymous access, whatever the local account."""
    await (await open_client(server, "ingress", [])).close()
    with pytest.raises(nats.errors.Error, match="Authorization"):
        await nats.connect(server[0].url, user=user or None, password=password or None, allow_reconnect=False)


def test_configuration_and_passwords_are_readable_by_their_owner_only(
    server: tuple[NatsNode, NatsCredentials],
) -> None:
    """The configuration holds every password."""
    folder = server[0].folder.parent
    files: list[Path] = [server[0].folder / "nats.conf", *(folder / "secrets").iterdir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len({file.read_text() for file in files}) == len(files)


def test_only_the_conversation_service_may_delete_a_stream_and_only_audit_may_purge() -> None:
    """The one replaces a stream that can be lost without harm, the other trims what is archived; none is changed."""
    deletable = {
        service: [
            subject
            for subject in permissions(service, region="local").publish
            if subject.startswith("$JS.API.STREAM.") and subject.split(".")[3] in {"DELETE", "UPDATE", "PURGE", ">"}
        ]
        for service in SERVICES
        if service != "supervisor"
    }
    assert {service: subjects for service, subjects in deletable.items() if subjects} == {
        "conversation": ["$JS.API.STREAM.DELETE.WORK"],
        "audit": [f"$JS.API.STREAM.PURGE.{stream}" for stream in ("CONVERSATIONS", "INBOX", "KV_SNAPSHOTS")],
    }


def test_every_service_has_a_row() -> None:
    """A service without a row could not connect, and one with an empty row could not work."""
    for service in SERVICES:
        table = permissions(service, region="local")
        assert table.publish
        assert f"{inbox_prefix(service)}.>" in table.subscribe
