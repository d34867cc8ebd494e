"""Reconciliation of the topology: streams, consumers and buckets are provisioned again after every reconnection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import read_current_fleet
from trunkline_chassis.provision import provision

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_RETRY_DELAY_S: Final = 0.25


class TopologyReconciler:
    """Re-creates missing consumers and buckets: a single NATS server loses its in-memory state in a restart."""

    def __init__(self, bus: Bus, *, region: str, replicas: int) -> None:
        """Take the parameters of `provision`; the specialties come from the current fleet."""
        self._bus = bus
        self._region = region
        self._replicas = replicas
        self._stale = asyncio.Event()
        bus.on_reconnect.append(self._stale.set)

    async def run(self) -> None:
        """Provision after every reconnection, until cancelled."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                current = await read_current_fleet(self._bus)
                specialties = current.fleet.specialties if current is not None else []
                await provision(self._bus, region=self._region, specialties=specialties, replicas=self._replicas)
            except BusError as error:
                _log.error("topology.refresh_failed", error=str(error))
                self._stale.set()
                await asyncio.sleep(_RETRY_DELAY_S)
