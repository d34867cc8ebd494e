"""Provisioning on a real nats-server: the operator's streams stay the operator's, and a loss is repaired."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusConfigError, BusError
from trunkline_chassis.provision import TopologyOptions, create_missing, provision
from trunkline_chassis.server_check import check_server, version_problem
from trunkline_chassis.stream_configs import compare_stream, stream_config
from trunkline_chassis.stream_limits import StreamLimits
from trunkline_chassis.topology_reconciler import TopologyReconciler
from trunkline_protocols import streams
from trunkline_protocols.topology import topology_of, whole_topology
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.nats import nats_server

DAY_NS = 86_400 * 10**9
SPECIALTIES = ["triage"]


@pytest.fixture
async def own_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A connection to an empty server that is private to the test."""
    with nats_server(tmp_path) as url:
        connection = await connect(url, "test")
        yield connection
        await connection.close()


async def apply(bus: Bus, limits: dict[str, StreamLimits] | None = None) -> list[str]:
    """Provision and return the drift as lines."""
    found = await provision(bus, region="local", specialties=SPECIALTIES, replicas=1, limits=limits)
    return [f"{each.kind} {each.asset} {each.field}" for each in found]


async def config_of(bus: Bus, stream: str) -> dict[str, Any]:
    """Return the configuration of a stream on the server."""
    config: dict[str, Any] = (await bus.api(f"STREAM.INFO.{stream}"))["config"]
    return config


async def change(bus: Bus, stream: str, **fields: object) -> None:
    """Change a stream as an operator does."""
    await bus.api(f"STREAM.UPDATE.{stream}", await config_of(bus, stream) | fields)


# -- pure ---


def test_copies_are_raised_and_never_lowered() -> None:
    """An operator may have more copies than the settings know; fewer are too few."""
    three, one = stream_config(streams.INBOX, 3, {}), stream_config(streams.INBOX, 1, {})
    lowered = compare_stream(three, one, None)
    assert lowered.update is None
    assert [(each.field, each.kind) for each in lowered.drift] == [("num_replicas", "kept")]
    raised = compare_stream(one, three, None)
    assert raised.update == three
    assert [(each.field, each.kind) for each in raised.drift] == [("num_replicas", "corrected")]


def test_age_below_the_window_of_duplicates_shortens_the_window() -> None:
    """The server refuses a window that is longer than the age."""
    limits = StreamLimits(max_age_s=60)
    created = stream_config(streams.INBOX, 1, {"INBOX": limits})
    assert created["duplicate_window"] == created["max_age"] == 60 * 10**9
    update = compare_stream(stream_config(streams.INBOX, 1, {}), created, limits).update
    assert update is not None
    assert update["duplicate_window"] == update["max_age"] == 60 * 10**9


@pytest.mark.parametrize("version", ["2.13.9", "2.12.3-RC.1", "1.99.0"])
def test_old_version_is_a_problem(version: str) -> None:
    """Numbers are compared, not text."""
    assert version_problem(version) == f"nats-server {version} is too old: at least 2.14.0 is needed"


@pytest.mark.parametrize("version", ["2.14.0", "v2.15.1", "10.0.0", "dev"])
def test_other_versions_are_accepted(version: str) -> None:
    """A build without a number is trusted: its version cannot be told."""
    assert version_problem(version) == ""


# -- the operator's streams ---


@pytest.mark.processes
async def test_second_run_changes_nothing(own_bus: Bus) -> None:
    """Nothing drifts from what provisioning itself has created."""
    assert await apply(own_bus) == []
    assert await apply(own_bus) == []


@pytest.mark.processes
async def test_choices_of_the_operator_are_kept(own_bus: Bus) -> None:
    """Age, size, compression, description and further subjects; each is reported."""
    await apply(own_bus)
    chosen = {
        "max_age": 30 * DAY_NS,
        "max_bytes": 10**9,
        "compression": "s2",
        "description": "ours",
        "metadata": {"team": "support"},
        "subjects": [*streams.INBOX.subjects, "archive.inbox.>"],
    }
    await change(own_bus, "INBOX", **chosen)
    reported = await apply(own_bus)
    after = await config_of(own_bus, "INBOX")
    assert {key: after[key] for key in chosen if key != "metadata"} == {
        key: value for key, value in chosen.items() if key != "metadata"
    }
    assert after["metadata"]["team"] == "support"
    kept = ["kept INBOX compression", "kept INBOX max_age", "kept INBOX max_bytes"]
    assert sorted(reported) == ["corrected INBOX region", *kept]  # which the operator has overwritten
    assert after["metadata"]["trunkline_region"] == "local"


@pytest.mark.processes
async def test_fields_without_which_nothing_works_are_corrected(own_bus: Bus) -> None:
    """A subject that is missing, and the refusal of new messages instead of a loss of old ones."""
    await apply(own_bus)
    await change(own_bus, "INBOX", subjects=["inbox.>"], discard="old", max_bytes=10**9)
    reported = await apply(own_bus)
    after = await config_of(own_bus, "INBOX")
    assert set(after["subjects"]) == set(streams.INBOX.subjects)
    assert (after["discard"], after["max_bytes"]) == ("new", 10**9)
    assert sorted(reported) == ["corrected INBOX discard", "corrected INBOX subjects", "kept INBOX max_bytes"]


@pytest.mark.processes
async def test_limits_come_from_the_settings(own_bus: Bus) -> None:
    """For new streams and buckets, and for existing ones."""
    limits = {
        "CONVERSATIONS": StreamLimits(max_bytes=10**9, compression="s2"),
        "SNAPSHOTS": StreamLimits(max_age_s=60),
    }
    for _ in range(2):
        await apply(own_bus, limits)
        log = await config_of(own_bus, "CONVERSATIONS")
        assert (log["max_bytes"], log["compression"]) == (10**9, "s2")
        assert (await config_of(own_bus, "KV_SNAPSHOTS"))["max_age"] == 60 * 10**9
        await change(own_bus, "CONVERSATIONS", max_bytes=2 * 10**9)


@pytest.mark.processes
async def test_stream_that_cannot_work_is_reported_as_broken(own_bus: Bus) -> None:
    """No server changes the retention of a work queue."""
    await own_bus.api("STREAM.CREATE.WORK", {"name": "WORK", "subjects": ["work.>"], "retention": "limits"})
    assert "broken WORK retention" in await apply(own_bus)


@pytest.mark.processes
async def test_policy_of_acknowledgement_is_kept_while_the_rest_is_corrected(own_bus: Bus) -> None:
    """A consumer of an earlier version: no server changes its policy, and a start must not fail on that."""
    await apply(own_bus)
    config = (await own_bus.api("CONSUMER.INFO.INBOX.audit"))["config"]
    old = config | {"ack_policy": "explicit", "max_ack_pending": 7}
    await own_bus.api("CONSUMER.DELETE.INBOX.audit")
    await own_bus.api("CONSUMER.CREATE.INBOX.audit", {"stream_name": "INBOX", "config": old, "action": "create"})
    assert await apply(own_bus) == ["kept consumer audit ack_policy", "corrected consumer audit max_ack_pending"]
    assert await apply(own_bus) == ["kept consumer audit ack_policy"]


@pytest.mark.processes
@pytest.mark.parametrize(("name", "stream", "policy"), [("audit", "INBOX", "none"), ("slot-local-0", "INBOX", "all")])
async def test_other_policy_of_acknowledgement_is_refused(own_bus: Bus, name: str, stream: str, policy: str) -> None:
    """A consumer that loses messages, or acknowledges those of others, is no choice of an operator either."""
    await apply(own_bus)
    config = (await own_bus.api(f"CONSUMER.INFO.{stream}.{name}"))["config"] | {"ack_policy": policy}
    await own_bus.api(f"CONSUMER.DELETE.{stream}.{name}")
    request = {"stream_name": stream, "config": config | {"max_ack_pending": 0} if policy == "none" else config}
    await own_bus.api(f"CONSUMER.CREATE.{stream}.{name}", request | {"action": "create"})
    with pytest.raises(BusConfigError, match=name):
        await apply(own_bus)


@pytest.mark.processes
async def test_changed_consumer_is_corrected(own_bus: Bus) -> None:
    """Consumers are no choice of an operator: their settings are part of the protocol."""
    await apply(own_bus)
    info = await own_bus.api("CONSUMER.INFO.INBOX.audit")
    request = {"stream_name": "INBOX", "config": info["config"] | {"max_ack_pending": 5}, "action": "update"}
    await own_bus.api("CONSUMER.CREATE.INBOX.audit", request)
    assert await apply(own_bus) == ["corrected consumer audit max_ack_pending"]
    assert (await own_bus.api("CONSUMER.INFO.INBOX.audit"))["config"]["max_ack_pending"] == 20_000


# -- servers that do not suffice ---


@contextmanager
def configured_server(folder: Path, config: str) -> Iterator[str]:
    """Run a server with a configuration; yield its address."""
    port = free_port()
    (folder / "own.conf").write_text(f'listen: "127.0.0.1:{port}"\n{config}')
    command = [str(Path(sys.executable).parent / "nats-server"), "--config", str(folder / "own.conf")]
    with (folder / "own.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield f"nats://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


ACCOUNT = (
    'jetstream {{ store_dir: "{folder}/js" }}\n'
    'accounts {{ A {{ jetstream: {limits}, users: [{{ user: "a", password: "b" }}] }} }}\nno_auth_user: a\n'
)


async def check_and_apply(bus: Bus) -> None:
    """Do both steps of a start."""
    await check_server(bus)
    await apply(bus)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("", "runs without JetStream"),
        (ACCOUNT.replace("{limits}", "disabled"), "enable JetStream for the account"),
        (ACCOUNT.replace("{limits}", "{{ max_streams: 3 }}"), "raise the JetStream limits of the account"),
        (ACCOUNT.replace("{limits}", "{{ max_mem: 0, max_file: 1G }}"), "raise the JetStream limits of the account"),
    ],
)
async def test_server_that_does_not_suffice_is_one_line(tmp_path: Path, config: str, reason: str) -> None:
    """Within seconds, with the remedy."""
    with configured_server(tmp_path, config.format(folder=tmp_path)) as url:
        bus = await connect(url, "test")
        try:
            async with asyncio.timeout(10):
                with pytest.raises(BusConfigError, match=reason) as refused:
                    await check_and_apply(bus)
            assert "\n" not in str(refused.value)
        finally:
            await bus.close()


@pytest.mark.processes
async def test_old_server_is_refused_by_name() -> None:
    """The version in the greeting of the server decides."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"old","version":"2.12.3","jetstream":true,"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        bus = await connect(f"nats://127.0.0.1:{port}", "test")
        try:
            with pytest.raises(BusConfigError, match=r"2\.12\.3 is too old: at least 2\.14\.0"):
                await check_server(bus)
        finally:
            await bus.close()


# -- losses ---


@pytest.mark.processes
async def test_missing_parts_are_created_and_the_others_left_alone(own_bus: Bus) -> None:
    """A service creates a lost consumer with its own rights, and changes nothing that exists."""
    await apply(own_bus)
    await change(own_bus, "INBOX", description="ours", discard="old")
    await own_bus.api("STREAM.DELETE.WORK")
    await own_bus.api("CONSUMER.DELETE.INBOX.slot-local-3")
    topology = whole_topology("local", SPECIALTIES)
    created = await create_missing(own_bus, topology, TopologyOptions())
    assert set(created) == {
        "WORK",
        *(f"agents-triage-{lane}" for lane in ("urgent", "high", "normal")),
        "slot-local-3",
    }
    inbox = await config_of(own_bus, "INBOX")
    assert (inbox["description"], inbox["discard"]) == ("ours", "old")
    assert await create_missing(own_bus, topology, TopologyOptions()) == []


@pytest.mark.processes
async def test_request_that_finds_nothing_starts_the_repair(own_bus: Bus) -> None:
    """Without a reconnection: an append to a stream that is gone is stored once another process has re-created it."""
    topology = topology_of("conversation", "local", [])

    async def repair() -> list[str]:
        return await create_missing(own_bus, topology, TopologyOptions())

    reconciler = TopologyReconciler(own_bus, repair, jitter=random.random)
    await reconciler.reconcile()
    await own_bus.api("STREAM.DELETE.INBOX")
    running = asyncio.ensure_future(reconciler.run())
    try:
        stored = await own_bus.append("inbox.local.0.c1", b"{}", message_id="m1")
        assert stored.seq == 1
    finally:
        running.cancel()


@pytest.mark.processes
async def test_repair_that_fails_is_repeated_and_not_complete(own_bus: Bus) -> None:
    """Readiness shows it meanwhile."""
    outcomes: list[BusError | None] = [None, BusError("no leader"), BusError("no leader"), None]

    async def repair() -> list[str]:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return []

    reconciler = TopologyReconciler(own_bus, repair, jitter=lambda: 0.0)
    await reconciler.reconcile()
    assert reconciler.is_complete
    running = asyncio.ensure_future(reconciler.run())
    try:
        own_bus.report_missing()
        async with asyncio.timeout(20):
            while len(outcomes) > 1:
                await asyncio.sleep(0.01)
            assert not reconciler.is_complete
            while not reconciler.is_complete:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


@pytest.mark.processes
async def test_periodic_look_leaves_the_process_ready(own_bus: Bus) -> None:
    """Only a sign of a loss, or a repair that fails, ends readiness: load balancers ask at any moment."""
    seen: list[bool] = []

    async def repair() -> list[str]:
        seen.append(reconciler.is_complete)
        return []

    reconciler = TopologyReconciler(own_bus, repair, jitter=lambda: 0.0)
    await reconciler.reconcile()
    await reconciler.reconcile()
    own_bus.report_missing()
    await reconciler.reconcile()
    assert seen == [False, True, False]
