"""What the agents of this process know: the fleet in force and the router learnt from it, one version at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from trunkline_chassis.fleets import FleetVersion
from trunkline_protocols.fleet import Fleet

from trunkline_agents.core.routing import Router

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Expertise:
    """One version of the fleet. A turn in flight keeps the one that it began with."""

    version: int
    fleet: Fleet
    router: Router


async def learn(latest: FleetVersion) -> Expertise:
    """Learn from a fleet; in a thread: half a second of arithmetic, while the connection has to answer pings."""
    router = await asyncio.to_thread(Router, latest.fleet)
    return Expertise(latest.version, latest.fleet, router)


class Experts:
    """Holds the expertise in force, and learns the next one beside it."""

    def __init__(self, specialty: str, first: Expertise) -> None:
        """`specialty` is what this process answers for."""
        self._specialty = specialty
        self._latest: FleetVersion | None = None
        self._news = asyncio.Event()
        self.current = first

    def hear(self, latest: FleetVersion) -> None:
        """Take a new version as soon as it is learnt."""
        self._latest = latest
        self._news.set()

    async def run(self) -> None:
        """Learn what comes; until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            latest = self._latest
            if latest is None or latest.version == self.current.version:
                continue
            if not latest.fleet.of(self._specialty):
                _log.warning("fleet.without_us", version=latest.version, specialty=self._specialty)
                continue
            self.current = await learn(latest)
            _log.info("fleet.learnt", version=latest.version)
