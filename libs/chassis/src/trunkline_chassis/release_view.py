"""The state of the last roll-out of a release, kept up to date from KV FLEET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from trunkline_chassis.refresher import Refresher
from trunkline_chassis.rollout_store import RELEASE_SUBJECT, read_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg
    from trunkline_protocols.rollout import ReleaseRollout

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_REFRESH_INTERVAL_S: Final = 30.0


class ReleaseView:
    """Holds the last readable state, also if the bucket has lost it: its draws are in the commits."""

    def __init__(self, bus: Bus) -> None:
        """Use `follow_release` to create one."""
        self._bus = bus
        self._refresher = Refresher(bus, self._refresh, name="release", interval_s=_REFRESH_INTERVAL_S)
        self.release: ReleaseRollout | None = None
        """None before the first release has a colour."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change."""

    @property
    def number(self) -> int:
        """Return the number of the last roll-out, 0 without one."""
        return self.release.number if self.release is not None else 0

    async def start(self) -> None:
        """Subscribe, then read the state: in this order no change is missed."""
        await self._bus.subscribe(RELEASE_SUBJECT, self._on_message)
        await self._bus.flush()
        await self._refresh()

    async def run(self) -> None:
        """Follow changes until cancelled."""
        await self._refresher.run()

    async def _refresh(self) -> None:
        latest = (await read_release(self._bus)).rollout
        if latest is None or latest == self.release:
            return
        self.release = latest
        _log.info(
            "release.changed", number=latest.number, phase=latest.phase, share=latest.share, colour=latest.in_force
        )
        self.on_change()

    async def _on_message(self, message: Msg) -> None:
        del message
        self._refresher.mark_stale()


async def follow_release(bus: Bus) -> ReleaseView:
    """Read the state and subscribe to its changes; the caller runs `run`."""
    view = ReleaseView(bus)
    await view.start()
    return view
