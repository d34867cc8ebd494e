"""Publication of heads on a server whose accounts are of an earlier version: it does not disturb recording."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from trunkline_audit.adapters.head_stream import JetStreamHeads
from trunkline_audit.core.heads import TreeHead
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.provision import provision

from tests.audit.harness import ArchiveReader, wait_until
from tests.audit.test_heads import published, recording
from tests.support.nats import nats_server

pytestmark = pytest.mark.processes

ACCOUNTS: Final = """
authorization { users: [
    { user: owner, password: secret },
    { user: audit, password: secret, permissions: { publish: { deny: ["head.>"] } } },
] }
"""
REPLY_TIMEOUT_S: Final = 0.5
ATTEMPTS: Final = 5
"""Together longer than the silence after which the bus leaves a server."""


class CountingHeads(JetStreamHeads):
    """A stream that counts the requests without a reply."""

    failures = 0

    async def last(self) -> TreeHead | None:
        try:
            return await super().last()
        except BusUnavailableError:
            CountingHeads.failures += 1
            raise

    async def publish(self, head: TreeHead) -> None:
        try:
            await super().publish(head)
        except BusUnavailableError:
            CountingHeads.failures += 1
            raise


@pytest.fixture
def locked_url(tmp_path: Path) -> Iterator[str]:
    """Run a server that denies audit the stream."""
    with nats_server(tmp_path / "nats", lambda config: config + ACCOUNTS) as url:
        yield url


async def test_recording_goes_on_where_the_stream_is_denied(locked_url: str, archive: ArchiveReader) -> None:
    """The connection stays at its server, although no request about the stream gets a reply."""
    owner = await connect(locked_url, "owner", security=NatsSecurity(user="owner", password="secret"))
    bus = await connect(locked_url, "audit", security=NatsSecurity(user="audit", password="secret"))
    reconnections: list[int] = []
    bus.on_reconnect.append(lambda: reconnections.append(1))
    CountingHeads.failures = 0
    try:
        await provision(owner, region="local", specialties=["triage"], replicas=1)
        denied = partial(CountingHeads, timeout_s=REPLY_TIMEOUT_S)
        async with recording(bus, archive, denied, flush_s=0.1) as records:
            await records.add(5)

            async def has_tried() -> bool:
                return CountingHeads.failures >= ATTEMPTS

            await wait_until(has_tried)
            await records.add(5)
        assert reconnections == []
        assert await published(owner) == []
        async with recording(owner, archive):
            pass
        assert await published(owner) == [10]
    finally:
        await bus.close()
        await owner.close()
