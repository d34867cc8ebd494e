"""Current routing of a process: the fleet version and the router trained on it, replaced together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_embedding import LEXICAL, unpack
from trunkline_protocols.fleet import ALL_SPECIALTIES, Fleet
from trunkline_protocols.turn import MessageAnalysis

from trunkline_agents.core.intents.examples import BuiltInExamples
from trunkline_agents.core.routing.artefact import artefact_version
from trunkline_agents.core.routing.router import Embedding, Router
from trunkline_agents.ports import ArtefactStore, TrainingFailedError

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FleetRouting:
    """A fleet version and its router. An in-flight turn keeps the one that it started with."""

    version: int
    fleet: Fleet
    router: Router
    embedder: str = LEXICAL
    """Fingerprint of the model that the router was trained with."""

    def embedding_of(self, analysis: MessageAnalysis) -> Embedding | None:
        """Return the vector of a message; None, i.e. routing by n-grams, if it has none of this router's model."""
        if not analysis.vector or analysis.embedder != self.embedder:
            return None
        embedding: Embedding = unpack([analysis.vector])[0]
        return embedding


class RouterLoader:
    """Loads routers from the artefact store, which trains a missing artefact once for all processes."""

    def __init__(self, store: ArtefactStore, embedder: str, built_in: BuiltInExamples) -> None:
        """`embedder` is the fingerprint of the model; with `lexical`, routing uses n-grams alone."""
        self._store = store
        self._embedder = embedder
        self._built_in = built_in

    async def load(self, latest: FleetVersion) -> FleetRouting:
        """Load the routing of a fleet version; raise `TrainingFailedError` if its artefact cannot be trained."""
        version = artefact_version(latest.fleet, self._embedder, self._built_in)
        model = await self._store.model(version, latest.fleet)
        _log.info("routing.artefact_loaded", version=version, fleet_version=latest.version, embedder=self._embedder)
        return FleetRouting(latest.version, latest.fleet, Router(latest.fleet, model), self._embedder)


class CurrentRouting:
    """Holds the current routing and replaces it once the next fleet version is loaded."""

    def __init__(self, loader: RouterLoader, first: FleetRouting, *, specialty: str = ALL_SPECIALTIES) -> None:
        """Versions without `specialty`, the only one that this process serves, are skipped."""
        self._loader = loader
        self._specialty = specialty
        self._latest: FleetVersion | None = None
        self._changed = asyncio.Event()
        self.current = first
        self.on_loaded: Callable[[], None] = lambda: None
        """Called after every replacement."""

    @property
    def served(self) -> list[str]:
        """Return the specialties of the current fleet that this process serves."""
        return served_specialties(self._specialty, self.current.fleet)

    def on_fleet_change(self, latest: FleetVersion) -> None:
        """Schedule the loading of a new fleet version."""
        self._latest = latest
        self._changed.set()

    async def run(self) -> None:
        """Load new fleet versions until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            latest = self._latest
            if latest is None or latest.version == self.current.version:
                continue
            if not served_specialties(self._specialty, latest.fleet):
                _log.warning("fleet.specialty_missing", version=latest.version, specialty=self._specialty)
                continue
            try:
                self.current = await self._loader.load(latest)
            except (BusError, TrainingFailedError) as error:
                # The previous version stays current; the next version or a restart retries.
                _log.error("routing.load_failed", version=latest.version, error=str(error))
                continue
            _log.info("routing.loaded", version=latest.version)
            self.on_loaded()


def served_specialties(specialty: str, fleet: Fleet) -> list[str]:
    """Return the specialties of a fleet that a process serves; none if the fleet does not have its specialty."""
    return [name for name in fleet.specialties if specialty in {ALL_SPECIALTIES, name}]
