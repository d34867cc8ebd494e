"""Admission of queued work: data of this region, with times of this process."""

from __future__ import annotations

from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.rules.residency import Border
from trunkline_protocols.turn import AnswerTurn, WorkMessage

from trunkline_agents.application.request_clock import RequestClock


class WorkAdmission:
    """Prepares work before any of it is done."""

    def __init__(self, borders: BorderGuard, clock: RequestClock) -> None:
        """`borders` refuses work of other regions, `clock` reads the times of the rest."""
        self._borders = borders
        self._clock = clock

    async def admit(self, message: WorkMessage, *, stored_at: float) -> WorkMessage | None:
        """Return the work with times of this process; None if it is of another region.

        `stored_at` is the server's time of the queued message. Refused work gets no result: its requester retries it,
        and gives up in the end.
        """
        border: Border = "consultation"
        if isinstance(message, AnswerTurn):
            border = "handoff" if message.ref.hop else "work"
        context = message.context
        is_admitted = self._borders.admits(
            border,
            data=context.region,
            conversation=message.ref.conversation,
            customer=(context.tenant, context.customer) if context.customer else None,
        )
        return await self._clock.read(message, stored_at=stored_at) if is_admitted else None
