"""Steps of a start that can fail for a while: a service does not exit because NATS is down or a port is still in use.

The first failure is logged at once, the next ones with their delays, which grow. Commands that a person waits for use
`bus.connect` instead, and exit with the same line.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from trunkline_chassis.backoff import backoff_s
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusError, StartError
from trunkline_chassis.server_check import check_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.settings import ProcessSettings

_log: Final = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 7.0
"""With the time for a handshake less than ten seconds, after which a silent start looks like a hang."""
_MIN_DELAY_S: Final = 0.5
_MAX_DELAY_S: Final = 30.0

T = TypeVar("T")


async def connect_when_available(settings: ProcessSettings, name: str, *, principal: str) -> Bus:
    """Connect to a NATS server that meets the requirements; wait until there is one."""

    async def attempt() -> Bus:
        bus = await connect(
            settings.nats_url,
            name,
            principal=principal,
            security=settings.nats_security,
            timeout_s=CONNECT_TIMEOUT_S,
        )
        try:
            await check_server(bus)
        except BusError:
            await bus.close()
            raise
        return bus

    return await retry_start(attempt)


async def retry_start(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step of the start, which must be repeatable, until it succeeds; log every failure."""
    failures = 0
    while True:
        try:
            return await step()
        except (BusError, StartError) as error:
            failures += 1
            jitter = random.random()  # noqa: S311 - spreads processes, protects nothing
            delay_s = backoff_s(failures, jitter, min_s=_MIN_DELAY_S, max_s=_MAX_DELAY_S)
            _log.error("process.start_delayed", reason=str(error), retry_in_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)
