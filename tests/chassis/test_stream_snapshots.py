"""Snapshots of streams on real servers: a restored stream equals the original, message for message."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusRefusedError
from trunkline_chassis.stream_snapshots import (
    CHUNK_BYTES,
    StreamSnapshot,
    restore_snapshot,
    send_chunk,
    stored_streams,
    take_snapshot,
)

from tests.support.nats import nats_server

pytestmark = pytest.mark.processes


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    """A new server without any stream."""
    with nats_server(tmp_path / "nats") as url:
        yield url


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Bus]:
    """A connection to it."""
    connection = await connect(empty_url, "test")
    yield connection
    await connection.close()


async def messages(bus: Bus, stream: str) -> list[dict[str, Any]]:
    """Return every stored message with subject, sequence, headers, content and time, as the server has them."""
    state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    found = []
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        try:
            found.append((await bus.api(f"STREAM.MSG.GET.{stream}", {"seq": seq}))["message"])
        except BusRefusedError:
            found.append({"seq": seq, "deleted": True})
    return found


def chunks(content: bytes) -> list[bytes]:
    return [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]


async def snapshot_of(bus: Bus, stream: str) -> tuple[StreamSnapshot, bytes]:
    content = bytearray()
    described = await take_snapshot(bus, stream, content.extend)
    return described, bytes(content)


async def test_restored_stream_has_the_same_messages_sequences_and_consumers(bus: Bus, empty: Bus) -> None:
    """Bytes, headers, times, a deleted sequence, a consumer; the next message gets the next sequence."""
    name = f"SNAPSHOT_{secrets.token_hex(4)}"
    await bus.api(
        f"STREAM.CREATE.{name}",
        {"name": name, "subjects": [f"{name}.>"], "storage": "file", "duplicate_window": 60 * 10**9},
    )
    # More than the server sends ahead of the acknowledgements.
    for number in range(80):
        payload = secrets.token_bytes(120_000) if number % 2 else str(number).encode()
        await bus.append(f"{name}.{number % 7}", payload, message_id=f"m{number}")
    await bus.api(f"STREAM.MSG.DELETE.{name}", {"seq": 5})
    consumer = {"durable_name": "c", "ack_policy": "explicit"}
    await bus.api(f"CONSUMER.DURABLE.CREATE.{name}.c", {"stream_name": name, "config": consumer})
    got = await bus.client.request(f"$JS.API.CONSUMER.MSG.NEXT.{name}.c", b"1", timeout=5, old_style=True)
    await bus.client.request(got.reply, b"+ACK", timeout=5)  # confirmed: a snapshot has what the server knew by then

    described, content = await snapshot_of(bus, name)
    assert len(content) > 4 * 1024 * 1024
    state = await restore_snapshot(empty, described, chunks(content))
    assert {key: state[key] for key in ("messages", "bytes", "first_seq", "last_seq")} == {
        key: described.state[key] for key in ("messages", "bytes", "first_seq", "last_seq")
    }
    assert await messages(empty, name) == await messages(bus, name)
    assert {"seq": 5, "deleted": True} in await messages(empty, name)
    position = (await empty.api(f"CONSUMER.INFO.{name}.c"))["ack_floor"]["stream_seq"]
    assert position == (await bus.api(f"CONSUMER.INFO.{name}.c"))["ack_floor"]["stream_seq"] == 1
    assert (await empty.append(f"{name}.2", b"new", message_id="new")).seq == 81


async def test_damaged_snapshot_is_refused_and_existing_stream_is_kept(bus: Bus, empty: Bus) -> None:
    """Nothing is created from half a snapshot, and a stream is never replaced."""
    name = f"SNAPSHOT_{secrets.token_hex(4)}"
    await bus.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "storage": "file"})
    for number in range(20):
        await bus.append(f"{name}.x", secrets.token_bytes(1_000), message_id=f"m{number}")
    described, content = await snapshot_of(bus, name)
    with pytest.raises(BusRefusedError):
        await restore_snapshot(empty, described, [content[: len(content) // 2]])
    assert await stored_streams(empty) == []
    with pytest.raises(BusRefusedError, match="already"):
        await restore_snapshot(bus, described, [content])
    assert len(await messages(bus, name)) == 20


async def test_chunk_waits_for_the_subscription_of_its_server(bus: Bus) -> None:
    """In a cluster, the server that takes the chunks may be another one, whose subscription spreads with a delay."""
    subject = f"chunks.{secrets.token_hex(4)}"
    received: list[bytes] = []

    async def take(message: Msg) -> None:
        received.append(message.data)
        await message.respond(b"taken")

    sending = asyncio.ensure_future(send_chunk(bus, subject, b"chunk", timeout_s=5))
    await asyncio.sleep(0.3)
    assert not sending.done()
    await bus.subscribe(subject, take)
    assert await sending == b"taken"
    assert received == [b"chunk"]


async def test_streams_on_disk_are_listed(bus: Bus) -> None:
    """Buckets too; streams in memory have no snapshots."""
    names = await stored_streams(bus)
    assert {"INBOX", "CONVERSATIONS", "KV_FLEET", "KV_DESK"} <= set(names)
    assert not {"WORK", "KV_PRESENCE"} & set(names)
