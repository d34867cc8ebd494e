"""The heads in stream HEADS, which the owner of the database cannot change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import Field
from trunkline_chassis.bus import STREAM_NOT_FOUND, Bus, connect
from trunkline_chassis.errors import BusError, BusRefusedError
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.settings import Identifier, NatsSettings
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.codec import DecodeError

from trunkline_cli.audit.archive import write_entry
from trunkline_cli.embedded_nats import embedded_nats
from trunkline_cli.errors import CommandError

_NAME: Final = "audit"
_PRINCIPAL: Final = "operator"
"""The user that may read every stream, and change none."""
_CONNECT_TIMEOUT_S: Final = 3.0
_FOLLOW_INTERVAL_S: Final = 1.0


class HeadStreamSettings(NatsSettings):
    """Settings of the commands that read stream HEADS."""

    nats_url: str | None = Field(
        None,
        description="NATS of the suite, with the credentials of operator; default: the one of the data folder",
        repr=False,
    )
    region: Identifier = Field("local", description="Region of the records")


async def read_heads(settings: HeadStreamSettings, data_dir: Path) -> list[dict[str, Any]]:
    """Return the heads of the stream as entries of an export; raises `CommandError`."""
    async with _connected(settings, data_dir) as bus:
        return [entry async for _, entry in _entries(bus, settings.region, 0)]


async def print_heads(settings: HeadStreamSettings, data_dir: Path, out: TextIO, *, after: int, follow: bool) -> None:
    """Print the heads of more than `after` records; with `follow`, the new ones too, until cancelled."""
    sequence = 0
    async with _connected(settings, data_dir) as bus:
        while True:
            async for position, entry in _entries(bus, settings.region, sequence):
                sequence = position
                if entry["size"] > after:
                    write_entry(out, entry)
            out.flush()
            if not follow:
                return
            await asyncio.sleep(_FOLLOW_INTERVAL_S)


async def _entries(bus: Bus, region: str, after: int) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """Yield the heads behind a sequence, each with its own."""
    async for batch in bus.read_batches(streams.HEADS.name, subjects.head(region), after):
        for message in batch:
            try:
                head = codec.head.decode(message.payload)
            except DecodeError as error:
                raise CommandError(f"stream {streams.HEADS.name}: message {message.seq} cannot be decoded") from error
            fields = {name: getattr(head, name) for name in ("log", "size", "root", "at", "key", "signature")}
            yield message.seq, {"kind": "head", **fields}


@asynccontextmanager
async def _connected(settings: HeadStreamSettings, data_dir: Path) -> AsyncIterator[Bus]:
    configure_logs(service=_NAME, instance=_NAME, level="error", style="console")
    if settings.nats_url is not None:
        url, security = settings.nats_url, settings.nats_security
    else:
        url, security = embedded_nats(data_dir, _PRINCIPAL)
    try:
        bus = await connect(url, _NAME, principal=_PRINCIPAL, security=security, timeout_s=_CONNECT_TIMEOUT_S)
        try:
            yield bus
        finally:
            await bus.close()
    except BusRefusedError as error:
        missing = "it does not exist: no service of this version has run" if error.code == STREAM_NOT_FOUND else error
        raise CommandError(f"stream {streams.HEADS.name}: {missing}") from error
    except BusError as error:
        raise CommandError(f"NATS: {error}") from error
