"""The served fleets from KV FLEET; a process without one serves too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from trunkline_chassis.fleet_store import SUBJECTS, read_served_fleets
from trunkline_chassis.refresher import Refresher
from trunkline_protocols.fleet import Fleet

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REFRESH_INTERVAL_S: Final = 30.0


class FleetFeed:
    """Hands the served version of the fleet, and the candidate of a roll-out, to `apply`."""

    def __init__(self, bus: Bus, apply: Callable[[Sequence[Fleet]], Awaitable[None]]) -> None:
        """`apply` is called with the served fleets and after every change."""
        self._bus = bus
        self._apply = apply
        self._versions: list[int] = []
        self._refresher = Refresher(bus, self._refresh, name="fleet", interval_s=_REFRESH_INTERVAL_S)

    async def open(self) -> None:
        """Apply the current fleet, if there is one, and subscribe to changes."""
        for subject in SUBJECTS:
            await self._bus.subscribe(subject, self._on_message)
        await self._bus.flush()
        await self._refresh()

    async def run(self) -> None:
        """Follow new versions until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = await read_served_fleets(self._bus)
        if latest is None:
            return
        candidate = latest.active_candidate
        versions = [latest.served.version, *([candidate.version] if candidate is not None else [])]
        if versions == self._versions:
            return
        await self._apply(latest.fleets)
        self._versions = versions
        _log.info("fleet.loaded", version=latest.served.version)

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()
