"""Status of the suite: asked from the supervisors that send heartbeats, merged with all other heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError
from trunkline_chassis.heartbeat import HEARTBEAT_INTERVAL_S
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, subjects
from trunkline_protocols.presence import SUPERVISOR, GetStatus, SuiteStatus

from trunkline_ingress.core.suite_status import merge_status

_log: Final = structlog.get_logger(__name__)
_TIMEOUT_S: Final = 2.0
_FIRST_HEARTBEATS_S: Final = 1.5 * HEARTBEAT_INTERVAL_S
_LOST_AFTER_S: Final = 600.0
"""A process whose heartbeat stopped without a farewell is shown as failed for this long."""


class NatsSuiteStatus:
    """Collects the status of every node."""

    def __init__(
        self, bus: Bus, presences: PresenceRegistry, region: str, specialties: Callable[[], Collection[str]]
    ) -> None:
        """`specialties` returns those of the current fleet."""
        self._bus = bus
        self._presences = presences
        self._region = region
        self._specialties = specialties
        self._complete_at = time.monotonic() + _FIRST_HEARTBEATS_S

    async def status(self) -> SuiteStatus:
        """Return the status of all nodes; a supervisor that does not answer is shown by its heartbeat alone."""
        # A process that has just started has not heard of every other one yet.
        await asyncio.sleep(max(0.0, self._complete_at - time.monotonic()))
        # Those whose heartbeats are late are asked too: after an outage of NATS all of them are late.
        supervisors = {
            each.presence.instance
            for each in self._presences.heartbeats(within_s=_LOST_AFTER_S)
            if each.presence.service == SUPERVISOR
        }
        reports = await asyncio.gather(*(self._ask(instance) for instance in sorted(supervisors)))
        heartbeats = self._presences.heartbeats(within_s=_LOST_AFTER_S)
        return merge_status([report for report in reports if report is not None], heartbeats, self._specialties())

    async def _ask(self, supervisor: str) -> SuiteStatus | None:
        subject = subjects.status(self._region, supervisor)
        try:
            reply = await self._bus.request(subject, codec.encode(GetStatus()), timeout_s=_TIMEOUT_S)
            return codec.suite_status.decode(reply)
        except BusError as error:
            _log.warning("supervisor.unavailable", supervisor=supervisor, error=str(error))
        except codec.DecodeError as error:
            report_undecodable("status", subject, error)
        return None
