"""The model's own times of turns, from the traces of their conversations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp
from trunkline_protocols import codec

from trunkline_cli.bench.load.core.records import ConversationRecord
from trunkline_cli.client import address, authorization
from trunkline_cli.settings import ClientSettings
from trunkline_cli.traces import ConversationTrace

_MAX_CONCURRENT: Final = 16
_TIMEOUT_S: Final = 60.0


async def read_model_times(
    settings: ClientSettings,
    records: list[ConversationRecord],
    *,
    sample: int | None = None,
    seed: int = 1,
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[ConversationTrace]:
    """Add the model's own times to the turns, of a sample of the conversations if given; return the traces."""
    used = [record for record in records if any(turn.phase is not None for turn in record.turns)]
    if sample is not None and sample < len(used):
        used = random.Random(seed).sample(used, sample)  # noqa: S311 - a choice of conversations, not secrets
    traces: list[ConversationTrace] = []
    permits = asyncio.Semaphore(_MAX_CONCURRENT)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)

    async with aiohttp.ClientSession(headers=authorization(settings.operator_token), timeout=timeout) as session:

        async def read_one(record: ConversationRecord) -> None:
            async with permits:
                trace = await _read(session, settings, record.conversation)
            if trace is not None:
                traces.append(trace)
                add_model_times(record, trace)

        for done, reading in enumerate(asyncio.as_completed([read_one(record) for record in used]), start=1):
            await reading
            on_progress(done)
    return traces


async def _read(
    session: aiohttp.ClientSession, settings: ClientSettings, conversation: str
) -> ConversationTrace | None:
    """Return a trace; None if it cannot be read: its turns then count as without a model's time."""
    try:
        async with session.get(address(settings, f"/v1/ops/trace/{conversation}")) as response:
            if response.status != HTTPStatus.OK:
                return None
            return codec.decode(await response.read(), ConversationTrace)
    except (aiohttp.ClientError, TimeoutError, codec.DecodeError):
        return None


def add_model_times(record: ConversationRecord, trace: ConversationTrace) -> None:
    """Add the model's times to the turns."""
    turns = {turn.id: turn for turn in record.turns}
    first_token_ms = summary_ms = 0.0
    for step in trace.steps:
        if step.type == "llm.complete":
            first_token_ms = float(step.detail.get("first_token_ms", 0.0))
        elif step.type == "turn.hand_off":
            summary_ms += float(step.detail.get("model_ms", 0.0))
        elif step.type == "turn.answered" and (turn := turns.get(str(step.detail.get("in_reply_to")))) is not None:
            turn.model_ms = summary_ms + float(step.detail.get("model_ms", 0.0))
            turn.model_first_token_ms = summary_ms + first_token_ms
            summary_ms = 0.0
    for turn in record.turns:
        # An answer of the system, such as the text of an escalation, has no model's time.
        turn.model_ms = turn.model_ms or 0.0
