"""Spans of one process: their parents, their attributes, and what is left of them when traces are off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.otlp import FinishedSpan, encode_spans
from trunkline_chassis.tracing.span_types import Attribute
from trunkline_chassis.tracing.trace_context import TRACEPARENT, parse_traceparent
from trunkline_chassis.tracing.tracer import continue_trace, span, start_trace, traceparent, turn_off, turn_on
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId

from tests.support.otlp import spans_of

CANARY = "my card is 4111 1111"


@pytest.fixture
def recorded() -> Iterator[list[FinishedSpan]]:
    """Everything is sampled while the test runs."""
    finished: list[FinishedSpan] = []
    turn_on(finished.append, sampling=1.0)
    yield finished
    turn_off()


def test_spans_are_children_of_the_span_around_them(recorded: list[FinishedSpan]) -> None:
    """Also of one in another process, by the header."""
    with start_trace(spans.ACCEPT_MESSAGE):
        with span(spans.APPEND_INBOX):
            header = traceparent()
        assert traceparent() != header
    assert traceparent() == ""
    with continue_trace(spans.PROCESS_TURN, header), span(spans.DECIDE):
        pass
    inner, root, decision, turn = recorded
    assert (inner.parent, decision.parent) == (root.context.span_id, turn.context.span_id)
    assert turn.parent == inner.context.span_id
    assert root.parent == 0
    assert len({each.context.trace_id for each in recorded}) == 1
    assert len({each.context.span_id for each in recorded}) == len(recorded)


async def test_concurrent_tasks_have_the_parent_of_their_creation(recorded: list[FinishedSpan]) -> None:
    """A span of one task is no parent of a span of another."""

    async def work() -> None:
        with span(spans.RETRIEVE):
            await asyncio.sleep(0)

    with start_trace(spans.ACCEPT_MESSAGE):
        await asyncio.gather(work(), work())
    first, second, root = recorded
    assert first.parent == second.parent == root.context.span_id


def test_turn_without_sampling_has_no_span_and_no_header(recorded: list[FinishedSpan]) -> None:
    """The same object stands for every span, in the process that decided and in those after it."""
    turn_on(recorded.append, sampling=0.0)
    with start_trace(spans.ACCEPT_MESSAGE) as root, span(spans.APPEND_INBOX) as inner:
        header = traceparent()
        inner.set(spans.TURN, "t-1")
    with continue_trace(spans.PROCESS_TURN, header) as turn:
        assert root is inner is turn
    assert (header, recorded) == ("", [])


def test_nothing_is_recorded_while_traces_are_off() -> None:
    """A header of another process changes nothing."""
    turn_off()
    header = f"00-{'1' * 32}-{'1' * 16}-01"
    with start_trace(spans.ACCEPT_MESSAGE) as root, continue_trace(spans.PROCESS_TURN, header) as turn:
        assert not root.is_recorded
        assert not turn.is_recorded
        assert traceparent() == ""


def test_exception_marks_its_span_by_its_class_alone(recorded: list[FinishedSpan]) -> None:
    """Its message may quote a customer."""
    with pytest.raises(ValueError, match="4111"), start_trace(spans.ACCEPT_MESSAGE):
        raise ValueError(CANARY)
    (received,) = spans_of(encode_spans(recorded, {}))
    assert received.is_error
    assert received.attributes == {"error.type": "ValueError"}


def test_text_of_a_customer_cannot_be_an_attribute(recorded: list[FinishedSpan]) -> None:
    """Neither under an attribute of the span, nor under one of its own, nor as an error code."""
    with start_trace(spans.CHAT) as chat:
        chat.set(spans.REQUEST_MODEL, CANARY)
        chat.set(spans.INPUT_TOKENS, 7)
        chat.set(spans.TURN, "not-an-attribute-of-this-span")
        chat.set(Attribute("text", "made up"), "word")
        chat.fail(CANARY)
    body = encode_spans(recorded, {})
    (received,) = spans_of(body)
    assert b"4111" not in body
    assert received.name == "chat"
    assert received.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 7,
        "error.type": "other",
    }


def test_every_span_follows_the_conventions() -> None:
    """Names are unique; the list has every span of the module."""
    assert len({each.name for each in spans.SPANS}) == len(spans.SPANS)
    operations = {each.name for each in spans.SPANS if "gen_ai.operation.name" in each.fixed}
    assert operations == {"chat", "execute_tool", "invoke_agent"}
    for each in spans.SPANS:
        assert each.fixed.get("gen_ai.operation.name", each.name) == each.name
        assert each.named_after is None or each.named_after in each.attributes


async def test_stored_message_keeps_its_trace(bus: Bus, recorded: list[FinishedSpan]) -> None:
    """The header is read back from the stream in every way, and is missing in a message without a trace."""
    subject = subjects.inbox("local", ConversationId("c-traced"))
    with start_trace(spans.ACCEPT_MESSAGE):
        header = traceparent()
        first = await bus.append(subject, b"{}", message_id="traced-1")
    await bus.append(subject, b"{}", message_id="traced-2")
    one = await bus.get_message("INBOX", first.seq)
    both = await bus.read_messages("INBOX", subject)
    assert one is not None
    assert [one.traceparent, *(each.traceparent for each in both)] == [header, header, ""]
    parent = parse_traceparent(header)
    assert parent is not None
    assert [each.context for each in recorded] == [parent]


async def test_request_carries_its_trace_and_calls_of_the_server_none(bus: Bus, recorded: list[FinishedSpan]) -> None:
    """A request of a turn that is not traced has no header."""
    headers: list[dict[str, str]] = []

    async def on_request(message: object) -> None:
        headers.append(dict(getattr(message, "headers", None) or {}))
        await bus.publish(getattr(message, "reply", ""), b"done")

    await bus.subscribe("tracer.request", on_request)
    await bus.flush()
    with start_trace(spans.ACCEPT_MESSAGE):
        await bus.request("tracer.request", b"", timeout_s=20)
        sent = traceparent()
        assert (await bus.api("STREAM.INFO.INBOX"))["config"]["name"] == "INBOX"
    await bus.request("tracer.request", b"", timeout_s=20)
    assert headers == [{TRACEPARENT: sent}, {}]
    assert len(recorded) == 1
