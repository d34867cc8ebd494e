"""Handoff summaries for the next agent: written by a model within a time limit, otherwise extracted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.clock import steady_time
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.refusal import Refused
from trunkline_protocols.rules.summary import extract
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.prompts import SUMMARY_INSTRUCTIONS, summary_question
from trunkline_agents.core.results import HandoffSummary
from trunkline_agents.ports import LanguageModel

_log: Final = structlog.get_logger(__name__)
_SUMMARIES: Final = Counter("trunkline_summaries_total", "Handoff summaries by origin (model or extract)", ["by"])

_MAX_TOKENS: Final = 160
_MAX_CHARACTERS: Final = 2_000
_NO_MODEL_INTERVAL_S: Final = 30.0
"""Interval without requests after the gateway had no model: saves handoffs a round trip."""


class HandoffSummariser:
    """Summarises conversations for the agent that takes over."""

    def __init__(self, model: LanguageModel, *, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`timeout_s` bounds the model's time; 0 disables the model."""
        self._model = model
        self._timeout_s = timeout_s
        self._clock = clock
        self._no_model_until: dict[str, float] = {}

    async def summarise(self, request: AnswerTurn, request_id: str) -> HandoffSummary:
        """Summarise the conversation of a turn; falls back to an extract instead of raising.

        `request_id` identifies the completion to the gateway. The first message of a conversation needs no model.
        """
        region = request.context.region
        if (
            request.context.transcript
            and self._clock() >= self._no_model_until.get(region, 0.0)
            and self._timeout_s > 0
        ):
            reply = await self._complete(request, request_id)
            if isinstance(reply, Completed) and reply.text.strip():
                _SUMMARIES.labels("model").inc()
                return HandoffSummary(
                    reply.text.strip()[:_MAX_CHARACTERS], reply.provider, reply.model, reply.usage, reply.model_ms
                )
            if isinstance(reply, Refused) and reply.code == "unavailable" and not reply.retryable:
                self._no_model_until[region] = self._clock() + _NO_MODEL_INTERVAL_S
        _SUMMARIES.labels("extract").inc()
        return HandoffSummary(extract(request.text, request.context.transcript))

    async def _complete(self, request: AnswerTurn, request_id: str) -> CompletionReply | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._model.complete(
                    Complete(
                        purpose="summary",
                        instructions=SUMMARY_INSTRUCTIONS,
                        text=summary_question(request.text, request.context),
                        max_tokens=_MAX_TOKENS,
                        deadline_at=min(request.deadline_at, steady_time() + self._timeout_s),
                        request_id=request_id,
                        region=request.context.region,
                        tenant=request.context.tenant,
                        locale=request.context.locale,
                    )
                )
        except TimeoutError:
            _log.info("summary.timed_out", turn=request.ref.turn, timeout_s=self._timeout_s)
            return None
