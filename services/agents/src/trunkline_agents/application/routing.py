"""Current routing of a process: each fleet version and the router trained on it, replaced together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_embedding import LEXICAL, unpack_vector
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
        return unpack_vector(analysis.vector)


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
    """Holds the routing of the served version and of a candidate; each is replaced once the next one is loaded."""

    def __init__(self, loader: RouterLoader, first: FleetRouting, *, specialty: str = ALL_SPECIALTIES) -> None:
        """Versions without `specialty`, the only one that this process serves, are skipped."""
        self._loader = loader
        self._specialty = specialty
        self._latest: ServedFleets | None = None
        self._changed = asyncio.Event()
        self.current = first
        """That of the served version."""
        self.candidate: FleetRouting | None = None
        """That of the last candidate, also after its roll-out: in-flight turns keep it."""
        self.candidate_version = 0
        """Number of the active candidate once this process can answer its turns, if it has any; else 0."""
        self.on_loaded: Callable[[], None] = lambda: None
        """Called after every replacement."""

    @property
    def served(self) -> list[str]:
        """Return the specialties of both versions that this process serves."""
        found = set(served_specialties(self._specialty, self.current.fleet))
        if self.candidate is not None and self.candidate.version == self.candidate_version:
            found.update(served_specialties(self._specialty, self.candidate.fleet))
        return sorted(found)

    def of(self, version: int) -> FleetRouting:
        """Return the routing of a version; that of the served one for every other number than the candidate's."""
        candidate = self.candidate
        return candidate if candidate is not None and candidate.version == version else self.current

    def serves(self, specialty: str, version: int) -> bool:
        """Return whether this process answers turns of a specialty in a version."""
        return specialty in served_specialties(self._specialty, self.of(version).fleet)

    def on_fleet_change(self, latest: ServedFleets) -> None:
        """Schedule the loading of new versions."""
        self._latest = latest
        self._changed.set()

    async def load(self, latest: ServedFleets) -> None:
        """Load new versions: the served version first, then the candidate."""
        if latest.served.version != self.current.version and self._is_of_own_specialty(latest.served):
            self.current = await self._loaded(latest.served) or self.current
        self.candidate_version = await self._load_candidate(latest.active_candidate)
        self.on_loaded()

    async def _load_candidate(self, candidate: FleetVersion | None) -> int:
        """Load a candidate and return its number; 0 without one, and if it cannot be loaded."""
        if candidate is None:
            return 0
        is_known = self.candidate is not None and self.candidate.version == candidate.version
        if not is_known and self._is_of_own_specialty(candidate):
            loaded = await self._loaded(candidate)
            if loaded is None:
                return 0
            self.candidate = loaded
        return candidate.version

    def _is_of_own_specialty(self, version: FleetVersion) -> bool:
        if served_specialties(self._specialty, version.fleet):
            return True
        _log.warning("fleet.specialty_missing", version=version.version, specialty=self._specialty)
        return False

    async def _loaded(self, version: FleetVersion) -> FleetRouting | None:
        """Return the routing of a version, None if it cannot be loaded; the previous one stays in use then."""
        known = self.candidate
        if known is not None and known.fleet == version.fleet:
            # A candidate that has become the served version: its conversations do not wait.
            loaded = replace(known, version=version.version)
        else:
            try:
                loaded = await self._loader.load(version)
            except (BusError, TrainingFailedError) as error:
                # The next change or a restart retries.
                _log.error("routing.load_failed", version=version.version, error=str(error))
                return None
        _log.info("routing.loaded", version=version.version)
        return loaded

    async def run(self) -> None:
        """Load new versions until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._latest is not None:
                await self.load(self._latest)


def served_specialties(specialty: str, fleet: Fleet) -> list[str]:
    """Return the specialties of a fleet that a process serves; none if the fleet does not have its specialty."""
    return [name for name in fleet.specialties if specialty in {ALL_SPECIALTIES, name}]
