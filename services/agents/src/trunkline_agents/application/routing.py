"""What the agents of this process know: the fleet in force and the router learnt from it, one version at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_embedding import LEXICAL, CachedEmbedder, EmbeddingError
from trunkline_protocols.fleet import Fleet

from trunkline_agents.core.routing.artefact import version_of
from trunkline_agents.core.routing.router import Router, Vector
from trunkline_agents.ports import ArtefactStore, TrainingFailedError

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FleetRouting:
    """One version of the fleet. A turn in flight keeps the one that it began with."""

    version: int
    fleet: Fleet
    router: Router
    embedder: CachedEmbedder | None = None

    async def vector(self, text: str) -> Vector | None:
        """Embed a message for the router; where there is no embedder, or it fails, routing goes by the words."""
        if self.embedder is None:
            return None
        vectors = self.embedder.kept([text])
        if vectors is None:
            try:
                vectors = await asyncio.to_thread(self.embedder.embed, [text])
            except EmbeddingError as error:
                _log.warning("routing.no_vector", error=str(error))
                return None
        vector: Vector = vectors[0]
        return vector


class RouterLoader:
    """Where a fleet's routing is learnt: once for all processes, in a process of its own."""

    def __init__(self, shelf: ArtefactStore, embedder: CachedEmbedder | None) -> None:
        """`shelf` keeps what was learnt."""
        self._shelf = shelf
        self._embedder = embedder

    async def learn(self, latest: FleetVersion) -> FleetRouting:
        """Take the routing of a fleet from the shelf, trained now where nobody has done so."""
        version = version_of(latest.fleet, self._embedder.name if self._embedder is not None else LEXICAL)
        model = await self._shelf.model(version, latest.fleet)
        _log.info("routing.taken", version=version, fleet_version=latest.version)
        return FleetRouting(latest.version, latest.fleet, Router(latest.fleet, model), self._embedder)


class CurrentRouting:
    """Holds the expertise in force, and learns the next one beside it."""

    def __init__(self, specialty: str, school: RouterLoader, first: FleetRouting) -> None:
        """`specialty` is what this process answers for."""
        self._school = school
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
            try:
                self.current = await self._school.learn(latest)
            except (BusError, TrainingFailedError) as error:
                # The fleet of before goes on answering; the next version, or a restart, tries again.
                _log.error("fleet.not_learnt", version=latest.version, error=str(error))
                continue
            _log.info("fleet.learnt", version=latest.version)
