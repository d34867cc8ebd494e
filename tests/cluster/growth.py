"""A further host of a lab: it takes its share of the work by the inventory alone, and leaves without a loss."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.presence import PresenceRegistry

from tests.cluster.lab import Lab, LabError
from tests.cluster.load import LabServers, count_while
from tests.faults.verifier import Report

_POLL_INTERVAL_S: Final = 0.2
_PLAYBOOK_TIMEOUT_S: Final = 900.0


async def wait_for_share(lab: Lab, host: str, *, within_s: float) -> float:
    """Return the seconds until the conversation service of a host owns slots; raise `LabError` after `within_s`."""
    started = time.monotonic()
    bus = await _operator(lab)
    try:
        presences = PresenceRegistry()
        await presences.watch(bus)
        while not any(each.slots for each in presences.alive("conversation") if each.node == host):
            if time.monotonic() - started > within_s:
                raise LabError(f"{host} owns no slot after {within_s:g} s")
            await asyncio.sleep(_POLL_INTERVAL_S)
    finally:
        await bus.close()
    return time.monotonic() - started


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
