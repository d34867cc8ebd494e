"""Requests to the leader of a stream: lost while none is elected, or while the own server is cut off from others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import nats.errors
import structlog

from trunkline_chassis.cancellation import propagate_cancellation
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.repeated_request import RepeatedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from trunkline_chassis.denied_subjects import DeniedSubjects

_log: Final = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT_S: Final = 1.0
"""Requests sent while a stream has no leader are lost, so each attempt is short."""
RETRY_DELAY_S: Final = 0.1
_SILENCE_TIMEOUT_S: Final = 10.0
"""Time without any reply after which the connection moves to another server: longer than any leader election, in which
the own server is as good as any, and the next one may be the lost one."""


class LeaderRequests:
    """Requests of one connection, each repeated until a leader replies."""

    def __init__(self, client: Client, denied: DeniedSubjects, report_missing: Callable[[], None]) -> None:
        """`report_missing` is called if a stream has no responder."""
        self._client = client
        self._denied = denied
        self._report_missing = report_missing
        self._unanswered_since: float | None = None

    async def ask(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None, deadline: float
    ) -> bytes:
        """Return the reply to a request, repeated until `deadline` of the loop's clock.

        Raises `BusUnavailableError` without a reply, and nats-py's `MaxPayloadError`.
        """

        async def send(timeout_s: float) -> Msg:
            return await propagate_cancellation(
                self._client.request(subject, payload, timeout=timeout_s, headers=headers)
            )

        loop = asyncio.get_running_loop()
        repeats = RepeatedRequest(send)
        try:
            while True:
                sent_at = loop.time()
                try:
                    reply = await repeats.attempt(ATTEMPT_TIMEOUT_S, open_s=deadline - sent_at)
                except nats.errors.MaxPayloadError:
                    raise
                except nats.errors.NoRespondersError as error:
                    failure: Exception = error
                    self._unanswered_since = None
                    self._report_missing()
                except (nats.errors.Error, TimeoutError) as error:
                    self._denied.check(subject, since=sent_at)
                    failure = error
                    await self._on_no_reply(sent_at)
                else:
                    self._unanswered_since = None
                    return reply.data
                if loop.time() >= deadline:
                    raise BusUnavailableError(f"no reply on {subject}: {failure}") from failure
                await asyncio.sleep(RETRY_DELAY_S)
        finally:
            await repeats.close()

    async def _on_no_reply(self, sent_at: float) -> None:
        """Reconnect to another server if no request has been replied to for `_SILENCE_TIMEOUT_S`."""
        now = asyncio.get_running_loop().time()
        self._unanswered_since = self._unanswered_since or sent_at
        if now - self._unanswered_since >= _SILENCE_TIMEOUT_S and self._client.is_connected:
            self._unanswered_since = now
            server = self._client.connected_url
            _log.warning("bus.server_unresponsive", server=str(server and server.netloc))
            await self._client.force_reconnect()
