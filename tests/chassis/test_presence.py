"""The registry of processes: built from heartbeats, and bounded in time."""

from __future__ import annotations

import asyncio

import pytest
from trunkline_chassis import presence as registry_module
from trunkline_chassis.bus import Bus
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import Presence

pytestmark = pytest.mark.processes


async def beat(bus: Bus, registry: PresenceRegistry, instance: str) -> None:
    """Publish a heartbeat and wait until the registry has it."""
    presence = Presence(
        service="rag", instance=instance, pid=1, state="ready", version="0", node="test", started_at=0.0, at=0.0
    )
    await bus.publish(subjects.presence("rag", instance), codec.encode(presence))
    async with asyncio.timeout(5):
        while registry.get(instance) is None:
            await asyncio.sleep(0.01)


async def test_process_that_never_comes_back_is_forgotten(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is known for an hour: what became of it can be asked."""
    registry = PresenceRegistry()
    await registry.watch(bus)
    await beat(bus, registry, "presence-test-1")
    await beat(bus, registry, "presence-test-2")
    assert registry.get("presence-test-1") is not None
    monkeypatch.setattr(registry_module, "_REMEMBERED_S", 0.1)
    await asyncio.sleep(0.2)
    await beat(bus, registry, "presence-test-3")
    assert registry.get("presence-test-1") is None
    assert registry.get("presence-test-3") is not None
