"""Masking of a completion request: everything that a model gets, but for what the operator wrote for it.

Instructions and declarations of tools are the operator's own texts. All others may hold data of a customer: its
messages, the facts and results of tools, summaries, imported passages, and the answer so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace
from trunkline_protocols.completion import AdviceNote, Complete
from trunkline_protocols.context import FactValue, Utterance
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from trunkline_llm_gateway.core.personal_data.tokens import Find, Masker

RULE: Final = (
    "Personal data is replaced by tokens in square brackets, such as [email_1]: where its value belongs, write the "
    "token unchanged, also in arguments of tools. The reader gets the value."
)
"""Added to the instructions of a request with tokens."""


class MaskedRequest(msgspec.Struct, frozen=True):
    """A request without personal data, and the data by its token."""

    request: Complete
    prefix: str
    """The answer so far, that the model continues."""
    values: Mapping[str, str]


def mask_request(request: Complete, prefix: str, find: Find) -> MaskedRequest:
    """Mask a request and the answer that it continues; `find` detects personal data.

    The conversation comes first, so that its tokens stay the same from one round of tools to the next.
    """
    masker = Masker(find, _texts(request, prefix))
    transcript = _masked_utterances(request.transcript, masker)
    text = masker.mask(request.text)
    steps = [_masked_step(step, masker) for step in request.tool_steps]
    masked = replace(
        request,
        transcript=transcript,
        text=text,
        tool_steps=steps,
        facts={name: _masked_fact(value, masker) for name, value in request.facts.items()},
        summary=masker.mask(request.summary),
        earlier=_masked_utterances(request.earlier, masker),
        advice=[_masked_advice(note, masker) for note in request.advice],
        passages=[_masked_passage(passage, masker) for passage in request.passages],
        notices=[masker.mask(notice) for notice in request.notices],
        abstain=masker.mask(request.abstain),
    )
    prefix = masker.mask(prefix)
    values = masker.values
    if not values:
        return MaskedRequest(request, prefix, values)
    if masked.instructions:
        masked = replace(masked, instructions=f"{masked.instructions}\n\n{RULE}")
    return MaskedRequest(masked, prefix, values)


def _texts(request: Complete, prefix: str) -> Iterable[str]:
    """Yield all texts of a request, also those that are not masked."""
    yield from (request.instructions, request.text, request.summary, request.abstain, prefix, *request.notices)
    yield from (tool.description for tool in request.tools)
    yield from (utterance.text for utterance in (*request.transcript, *request.earlier))
    for passage in request.passages:
        yield from (passage.title, passage.text)
    for note in request.advice:
        yield from (note.title, note.text)
    for value in request.facts.values():
        yield from (*value, *value.values()) if isinstance(value, dict) else (str(value),)
    for step in request.tool_steps:
        yield step.text
        yield from (call.arguments for call in step.calls)
        yield from (outcome.text for outcome in step.outcomes)


def _masked_utterances(utterances: Iterable[Utterance], masker: Masker) -> list[Utterance]:
    return [replace(utterance, text=masker.mask(utterance.text)) for utterance in utterances]


def _masked_passage(passage: Passage, masker: Masker) -> Passage:
    return replace(passage, title=masker.mask(passage.title), text=masker.mask(passage.text))


def _masked_advice(note: AdviceNote, masker: Masker) -> AdviceNote:
    return replace(note, title=masker.mask(note.title), text=masker.mask(note.text))


def _masked_fact(value: FactValue, masker: Masker) -> FactValue:
    """Mask the value of a fact; a number that is personal data becomes its token."""
    match value:
        case bool() | float():
            return value
        case int():
            masked = masker.mask(str(value))
            return value if masked == str(value) else masked
        case str():
            return masker.mask(value)
        case dict():
            return {masker.mask(key): masker.mask(text) for key, text in value.items()}


def _masked_step(step: ToolStep, masker: Masker) -> ToolStep:
    return replace(
        step,
        text=masker.mask(step.text),
        calls=[_masked_call(call, masker) for call in step.calls],
        outcomes=[_masked_outcome(outcome, masker) for outcome in step.outcomes],
    )


def _masked_call(call: ToolCall, masker: Masker) -> ToolCall:
    return replace(call, arguments=masker.mask_json(call.arguments))


def _masked_outcome(outcome: ToolOutcome, masker: Masker) -> ToolOutcome:
    return replace(outcome, text=masker.mask(outcome.text))
