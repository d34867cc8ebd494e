"""Snapshots of streams: messages with their sequences and times, and the durable consumers, in the server's own format.

The server sends a snapshot in chunks while it goes on serving, and sends more only as chunks are acknowledged. Streams
in memory have no snapshots.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nats.errors
from trunkline_protocols.decoding import decode

from trunkline_chassis.bus import Bus
from trunkline_chassis.cancellation import propagate_cancellation
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

CHUNK_BYTES: Final = 256 * 1024
"""Of a snapshot, and of a restore: the server may receive more in one message, never less than its `max_payload`."""
_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""Sent ahead of the acknowledgements."""
_START_TIMEOUT_S: Final = 60.0
_CHUNK_TIMEOUT_S: Final = 30.0
_RESPONDER_TIMEOUT_S: Final = 10.0
"""In a cluster, the subscription of the server that takes the chunks reaches the others a moment after its reply."""
_RETRY_DELAY_S: Final = 0.1
_FINISH_TIMEOUT_S: Final = 600.0
"""The server indexes the restored messages before it replies to the end of a snapshot."""
_END_STATUS: Final = "204"


class StreamSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The server's description of a snapshot: `config` and `state` of the stream as in the JetStream API."""

    config: dict[str, Any]
    state: dict[str, Any]


async def stored_streams(bus: Bus) -> list[str]:
    """Return the names of all streams on disk, buckets included."""
    names: list[str] = []
    while True:
        page = await bus.api("STREAM.LIST", {"offset": len(names)}, timeout_s=_START_TIMEOUT_S)
        found = page.get("streams") or []
        names += [each["config"]["name"] for each in found if each["config"]["storage"] == "file"]
        if page.get("missing"):
            raise BusUnavailableError(f"no leader answers for {', '.join(page['missing'])}")
        if not found or page["offset"] + len(found) >= page["total"]:
            return names


async def take_snapshot(bus: Bus, name: str, write: Callable[[bytes], object]) -> StreamSnapshot:
    """Write the snapshot of a stream, chunk by chunk; needs the rights of the supervisor.

    Raises `BusUnavailableError` if a chunk is lost, `BusRefusedError` if the server gives the snapshot up.
    """
    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox)
    try:
        request = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "window_size": _WINDOW_BYTES}
        described = await bus.api(f"STREAM.SNAPSHOT.{name}", request, timeout_s=_START_TIMEOUT_S)
        number = 0
        while True:
            chunk = await propagate_cancellation(subscription.next_msg(timeout=_CHUNK_TIMEOUT_S))
            if not chunk.data:
                _check_end(name, chunk)
                return StreamSnapshot(config=described["config"], state=described["state"])
            number += 1
            write(chunk.data)
            if chunk.reply:  # all but the last one
                if chunk.reply.rpartition(".")[2] != str(number):
                    raise BusUnavailableError(f"a chunk of the snapshot of {name} was lost")
                await bus.client.publish(chunk.reply, b"")
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailableError(f"the snapshot of {name} stopped: {error}") from error
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


def _check_end(name: str, end: Msg) -> None:
    headers = end.headers or {}
    status = headers.get("Status", _END_STATUS)
    if status != _END_STATUS:
        raise BusRefusedError(int(status), f"the snapshot of {name} failed: {headers.get('Description', '')}")


async def restore_snapshot(bus: Bus, snapshot: StreamSnapshot, chunks: Iterable[bytes]) -> dict[str, Any]:
    """Create a stream from a snapshot and return its state; the stream must not exist.

    Raises `BusRefusedError` if the server refuses the snapshot.
    """
    name = snapshot.config["name"]
    request = {"config": snapshot.config, "state": snapshot.state}
    subject = (await bus.api(f"STREAM.RESTORE.{name}", request, timeout_s=_START_TIMEOUT_S))["deliver_subject"]
    for chunk in chunks:
        _check_reply(name, await send_chunk(bus, subject, chunk, timeout_s=_CHUNK_TIMEOUT_S))
    reply = _check_reply(name, await send_chunk(bus, subject, b"", timeout_s=_FINISH_TIMEOUT_S))
    state: dict[str, Any] = reply["state"]
    return state


async def send_chunk(bus: Bus, subject: str, chunk: bytes, *, timeout_s: float) -> bytes:
    """Send a chunk and return the reply; send it again while no server has subscribed, and so has not received it."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _RESPONDER_TIMEOUT_S
    while True:
        try:
            return await bus.request(subject, chunk, timeout_s=timeout_s)
        except BusUnavailableError as error:
            if not isinstance(error.__cause__, nats.errors.NoRespondersError) or clock() >= deadline:
                raise
        await asyncio.sleep(_RETRY_DELAY_S)


def _check_reply(name: str, raw: bytes) -> dict[str, Any]:
    """Return the reply to a chunk, empty but for the last one."""
    reply: dict[str, Any] = decode(raw, dict) if raw else {}
    if "error" in reply:
        error = reply["error"]
        raise BusRefusedError(error.get("err_code", error["code"]), f"restore of {name}: {error['description']}")
    return reply
