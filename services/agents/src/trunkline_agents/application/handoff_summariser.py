"""What a handoff tells the next agent: written by a model where one can in a short time, else in the words said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.briefing import SUMMARY_INSTRUCTIONS, summary_question
from trunkline_agents.ports import Colleagues

_log: Final = structlog.get_logger(__name__)
_SUMMARIES: Final = Counter("trunkline_summaries_total", "Summaries of handoffs by who wrote them", ["by"])

_MOST_TOKENS: Final = 160
_LONGEST: Final = 2_000
_WITHOUT_MODEL_S: Final = 30.0
"""For so long no model is asked for where the gateway has none: a handoff costs no way there and back."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary; the rest is empty where no model wrote it."""

    text: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    model_ms: float = 0.0


class HandoffSummariser:
    """Writes summaries for those who take over."""

    def __init__(
        self, colleagues: Colleagues, *, longest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A model that takes more than `longest_s` is not waited for; 0 asks none at all."""
        self._colleagues = colleagues
        self._longest_s = longest_s
        self._clock = clock
        self._no_model_until: dict[str, float] = {}

    async def write(self, request: AnswerTurn, request_id: str) -> Summary:
        """Summarise the conversation of a turn; never fails, and never takes much longer than it may.

        `request` names the order to the gateway. What a conversation begins with needs no model: it is one message.
        """
        region = request.context.region
        if (
            request.context.transcript
            and self._clock() >= self._no_model_until.get(region, 0.0)
            and self._longest_s > 0
        ):
            reply = await self._ask(request, request_id)
            if isinstance(reply, Completed) and reply.text.strip():
                _SUMMARIES.labels("model").inc()
                return Summary(reply.text.strip()[:_LONGEST], reply.model, reply.usage, reply.model_ms)
            if isinstance(reply, Refused) and reply.code == "unavailable" and not reply.retryable:
                self._no_model_until[region] = self._clock() + _WITHOUT_MODEL_S
        _SUMMARIES.labels("own_words").inc()
        return Summary(extract(request.text, request.context.transcript))

    async def _ask(self, request: AnswerTurn, request_id: str) -> CompletionReply | None:
        try:
            async with asyncio.timeout(self._longest_s):
                return await self._colleagues.complete(
                    Complete(
                        purpose="summary",
                        instructions=SUMMARY_INSTRUCTIONS,
                        question=summary_question(request.text, request.context),
                        max_tokens=_MOST_TOKENS,
                        deadline_at=min(request.deadline_at, time.time() + self._longest_s),
                        request_id=request_id,
                        region=request.context.region,
                        tenant=request.context.tenant,
                    )
                )
        except TimeoutError:
            _log.info("summary.too_late", turn=request.ref.turn, after_s=self._longest_s)
            return None
