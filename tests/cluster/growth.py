"""A further host of a lab: it takes its share of the work by the inventory alone, and leaves without a loss."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.presence import Presence

from tests.cluster.lab import Lab, LabError
from tests.cluster.load import LabServers, count_while
from tests.faults.verifier import Report

_POLL_INTERVAL_S: Final = 0.2
_PLAYBOOK_TIMEOUT_S: Final = 900.0


async def take_share_under_load(lab: Lab, host: str, rate: float, *, within_s: float) -> tuple[float, Report]:
    """Return the seconds until the conversation service of a host owns slots, and what became of the messages.

    Slots get an owner with their first message, so customers write meanwhile. Raises `LabError` after `within_s`.
    """
    waited: list[float] = []

    async def wait() -> None:
        started = time.monotonic()
        bus = await _operator(lab)
        try:
            while not any(each.slots for each in await _conversation_processes(bus) if each.node == host):
                if time.monotonic() - started > within_s:
                    raise LabError(f"{host} owns no slot after {within_s:g} s")
                await asyncio.sleep(_POLL_INTERVAL_S)
        finally:
            await bus.close()
        waited.append(time.monotonic() - started)

    report = await count_while(lab, wait(), rate)
    return waited[0], report


async def _conversation_processes(bus: Bus) -> list[Presence]:
    """Return the last heartbeats; those of processes that have ended are among them."""
    found = await bus.read_messages(f"KV_{streams.PRESENCE.name}", subjects.PRESENCES)
    presences = [codec.presence.decode(message.payload) for message in found if message.payload]
    return [presence for presence in presences if presence.service == "conversation"]


async def leave_under_load(lab: Lab, host: str, rate: float) -> Report:
    """Drain a host while customers write; return what became of the messages."""

    async def drain() -> None:
        variables = '{"trunkline__drained": true}'
        await asyncio.to_thread(
            lab.play, "site.yml", "--limit", host, "--extra-vars", variables, timeout_s=_PLAYBOOK_TIMEOUT_S
        )

    return await count_while(lab, drain(), rate)


async def _operator(lab: Lab) -> Bus:
    servers = LabServers(lab)
    return await connect(servers.nats_url(), "operator", security=servers.security())
