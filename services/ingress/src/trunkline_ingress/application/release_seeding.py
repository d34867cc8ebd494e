"""First state of the releases' colours: that of the agents which run is in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from trunkline_chassis.errors import BusError, FenceError
from trunkline_chassis.release_view import ReleaseView
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.ids import Instance
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.subjects import COLOURS, Colour

from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.operator_ports import ReleaseStore
from trunkline_ingress.ports import LiveProcesses

_log: Final = structlog.get_logger(__name__)
_INTERVAL_S: Final = 1.0


class ReleaseSeeding:
    """Stores the first state as soon as agents with a colour are ready, and the last one if the bucket is lost."""

    def __init__(
        self,
        store: ReleaseStore,
        processes: LiveProcesses,
        view: ReleaseView,
        *,
        instance: Instance,
        now: Callable[[], float],
    ) -> None:
        """`now` returns the Unix time in seconds."""
        self._store = store
        self._processes = processes
        self._view = view
        self._instance = instance
        self._now = now

    async def run(self) -> None:
        """Look until cancelled; without a colour in the suite nothing is read or stored."""
        while True:
            await next_tick(_INTERVAL_S)
            try:
                await self.step()
            except FenceError:
                _log.info("release.seeded_elsewhere")
            except BusError as error:
                _log.warning("release.seeding_failed", error=str(error))

    async def step(self) -> None:
        """Store the first state, if agents have a colour and no state is stored."""
        colour = self._first_colour()
        if self._view.release is None and colour is not None and (await self._store.read()).revision == 0:
            now = self._now()
            first = ReleaseRollout(
                number=1,
                candidate=colour,
                served=colour,
                shares=[100],
                hold_s=0.0,
                min_turns=1,
                slow_s=1.0,
                started_at=now,
                started_by=self._instance,
                commits_after=0,
                phase="finished",
                share=100,
            )
            await self._store.put(noted(first, "finished", at=now, by=self._instance, reason="first colour"), after=0)
            _log.info("release.seeded", colour=colour)

    async def restore(self) -> None:
        """Store the last known state again if the server has lost the bucket's content."""
        known = self._view.release
        if known is None or (await self._store.read()).revision:
            return
        try:
            await self._store.put(known, after=0)
        except FenceError:
            return  # another process was faster
        _log.warning("release.restored", number=known.number, colour=known.in_force)

    def _first_colour(self) -> Colour | None:
        """Return the colour of the agents process that started first, of those that are ready."""
        agents = [each for each in self._processes.alive() if each.service == "agents" and each.state == "ready"]
        started = sorted((each.started_at, each.colour) for each in agents if each.colour)
        return next((colour for _, found in started for colour in COLOURS if colour == found), None)
