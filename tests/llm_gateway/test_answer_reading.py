"""Pure parts of reading an answer: tool calls, token counts, stop reasons, faults and formats."""

from __future__ import annotations

import contextlib
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st
from trunkline_llm_gateway.adapters.chat_parser import ChatParser
from trunkline_llm_gateway.adapters.message_parser import MessageParser
from trunkline_llm_gateway.core import costs
from trunkline_llm_gateway.core.body_formats import body_format
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.stop_reasons import StopReason, normalise
from trunkline_llm_gateway.core.token_counts import TokenCounts, estimated_tokens, reported_tokens, utf8_size
from trunkline_llm_gateway.core.tool_call_assembly import MAX_CALLS, ToolCallAssembler
from trunkline_llm_gateway.core.truncation import MAX_CONTINUATIONS, may_continue, truncation_mark
from trunkline_llm_gateway.core.upstream_faults import classify
from trunkline_llm_gateway.ports import ProviderError
from trunkline_protocols.accounting import Usage
from trunkline_protocols.tool_steps import ToolCall

PROVIDER = ProviderConfig(name="m", kind="openai")

# -- tool calls ---


def assembled(*fragments: tuple[str, int | None, str, str]) -> list[ToolCall]:
    """Return the calls of fragments given as id, index, name and arguments."""
    assembler = ToolCallAssembler()
    for id_, index, name, arguments in fragments:
        assembler.add(id_=id_, index=index, name=name, arguments=arguments)
    return assembler.calls()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.randoms(), st.sampled_from(["index", "id", "both"]))
def test_interleaved_calls_are_assembled(sizes: list[int], random: Any, key: str) -> None:
    """In any interleaving, by index from any start, by id, or by both."""
    whole = [
        ToolCall(id=f"id{n}", name=f"tool{n}", arguments='{"a":' + "1" * size + "}") for n, size in enumerate(sizes)
    ]
    rest = {n: list(call.arguments) for n, call in enumerate(whole)}
    fragments: list[tuple[str, int | None, str, str]] = []

    def add(number: int, name: str, arguments: str) -> None:
        id_ = whole[number].id if name or key != "index" else ""
        fragments.append((id_, None if key == "id" else number + 1, name, arguments))

    for number, call in enumerate(whole):
        add(number, call.name, "")
    while rest:
        number = random.choice(sorted(rest))
        add(number, "", rest[number].pop(0))
        if not rest[number]:
            del rest[number]
    assert assembled(*fragments) == whole


def test_every_call_gets_an_id_of_its_own() -> None:
    """Results are matched with calls by it."""
    found = assembled(("", None, "a", "{}"), ("", None, "b", "{}"), ("x", 2, "c", "{}"), ("x", 3, "d", "{}"))
    assert [call.name for call in found] == ["a", "b", "c", "d"]
    assert len({call.id for call in found}) == 4


def test_number_of_calls_is_bounded() -> None:
    """Fragments of further calls are dropped and counted."""
    assembler = ToolCallAssembler()
    for number in range(MAX_CALLS + 9):
        assembler.add(id_=f"id{number}", index=number, name="a", arguments="{}")
    assert (len(assembler.calls()), assembler.dropped) == (MAX_CALLS, 9)


# -- tokens ---


_scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9)
_names = st.sampled_from(["prompt_tokens", "output_tokens", "x"])


@given(st.recursive(_scalars, lambda inner: st.dictionaries(_names, inner)))
def test_any_report_of_usage_is_read(report: Any) -> None:
    """As counts that are no less than zero and no larger than a budget can bear."""
    counts = reported_tokens(report)
    assert all(0 <= count <= 100_000_000 and isinstance(count, int) for count in counts)


def test_later_reports_do_not_reduce_the_counts() -> None:
    """Some servers repeat usage with zeros."""
    assert TokenCounts(5, 7).merge(TokenCounts(0, 9)).merge(TokenCounts(5, 0)) == TokenCounts(5, 9)


def test_cached_input_is_added_to_a_count_without_it_only() -> None:
    """Anthropic counts its cache apart; proxies report both names with one total."""
    cached = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 10}
    assert reported_tokens({"input_tokens": 5, "output_tokens": 1, **cached}) == TokenCounts(115, 1)
    assert reported_tokens({"prompt_tokens": 115, "completion_tokens": 1, **cached}) == TokenCounts(115, 1)


def test_estimate_grows_with_the_bytes() -> None:
    """Scripts with several bytes a character have more tokens a character."""
    assert [estimated_tokens(utf8_size(text)) for text in ("", "a", "word " * 8, "退款需要五天")] == [0, 1, 10, 5]


def test_total_of_parts_is_estimated_if_one_part_is() -> None:
    """A continued answer is paid for part by part."""
    parts = [Usage(input_tokens=1, output_tokens=2, cost=0.5), Usage(input_tokens=3, output_tokens=4, estimated=True)]
    assert costs.total(parts) == Usage(input_tokens=4, output_tokens=6, cost=0.5, estimated=True)


# -- ends ---


def test_shared_stop_reasons_mean_themselves() -> None:
    """Other words are translated, with prefixes and in any case; unknown ones are `other`."""
    shared = [reason for reason in get_args(StopReason) if reason != "other"]
    assert [normalise(reason) for reason in shared] == shared
    assert normalise("MAX_TOKENS") == "length"
    assert normalise("function_call_filter: MALFORMED_FUNCTION_CALL") == "error"
    assert normalise("tired") == "other"


@pytest.mark.parametrize(
    ("text", "mark"), [("", ""), (" \n", ""), ("5 days.", ""), ("5 days. ", ""), ("take 5", " …"), ("take ", "…")]
)
def test_incomplete_text_is_marked(text: str, mark: str) -> None:
    """A text that ends like a complete one is not."""
    assert truncation_mark(text) == mark


def test_answer_is_continued_twice_if_there_is_time() -> None:
    """The next part takes about as long as the last one."""
    assert [may_continue(done, part_s=1.0, remaining_s=5.0) for done in range(1, 4)] == [True] * MAX_CONTINUATIONS + [
        False
    ]
    assert not may_continue(1, part_s=5.0, remaining_s=5.0)


@pytest.mark.parametrize(
    ("error", "code", "is_retryable"),
    [
        ("CUDA error", "status", True),
        ({"message": "invalid_request"}, "status", True),
        ({"code": 503}, "status", True),
        ({"code": None, "type": "overloaded_error"}, "status", True),
        ({"code": 400}, "request", False),
        ({"type": "invalid_request_error"}, "request", False),
        ({"code": "context_length_exceeded"}, "request", False),
        ({"type": "authentication_error"}, "status", False),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, "status", False),
        ({"code": "content_filter"}, "content_filter", False),
        ({"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "content_filter", False),
    ],
)
def test_reported_error_is_classified(error: object, code: str, *, is_retryable: bool) -> None:
    """By its code and type, not by its prose."""
    assert classify(error) == (code, is_retryable)


@pytest.mark.parametrize(
    ("content_type", "head", "found"),
    [
        ("text/event-stream", b"data: {}", "events"),
        ("text/event-stream", b"", "events"),
        ("text/event-stream", b'\n {"a":1}', "json"),
        ("text/plain", b"dat", "events"),
        ("text/plain", b": x", "events"),
        ("text/plain", b"database is down", "unknown"),
        ("application/json", b"\xef\xbb\xbf{}", "json"),
        ("application/json", b"", "unknown"),
        ("application/problem+json", b"{}", "json"),
        ("text/html", b"data: x", "unknown"),
        ("", b"event: x", "events"),
    ],
)
def test_format_is_recognised_by_the_first_bytes(content_type: str, head: bytes, found: str) -> None:
    """A page is never an answer."""
    assert body_format(content_type, head) == found


# -- nesting ---

DEEP_CHUNKS = (
    '{"choices":[{"delta":{"content":DEEP}}]}',
    '{"choices":[{"delta":{"content":[{"text":DEEP}]}}]}',
    '{"choices":[{"delta":{"content":[{"thinking":DEEP}]}}]}',
    '{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":DEEP}}]}}]}',
    '{"choices":[{"delta":{},"finish_reason":DEEP}],"usage":DEEP,"x_groq":DEEP}',
    '{"error":DEEP}',
    '{"error":{"code":DEEP,"message":DEEP,"innererror":DEEP}}',
    '{"message":DEEP,"detail":DEEP}',
    '{"type":"content_block_start","content_block":{"type":"tool_use","id":"a","name":"f","input":DEEP}}',
    '{"type":"error","error":DEEP}',
    '{"content":[{"type":"tool_use","id":"a","name":"f","input":DEEP}],"stop_reason":DEEP,"usage":DEEP}',
)


@pytest.mark.parametrize("chunk", DEEP_CHUNKS)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"innererror":', "}"), ('{"text":', "}")])
def test_nesting_of_any_depth_is_read_or_an_error_of_the_provider(chunk: str, opening: str, closing: str) -> None:
    """Up to the depth that a decoder accepts: a value may be read although Python cannot print it."""
    for depth in (5, 50, *range(100, 1_100, 45)):
        payload = chunk.replace("DEEP", opening * depth + "7" + closing * depth).encode()
        for parser in (ChatParser(PROVIDER), MessageParser("m")):
            for feed in (parser.feed, parser.feed_whole):
                with contextlib.suppress(ProviderError):
                    assert isinstance(feed(payload), str)
            assert all(isinstance(call.arguments, str) for call in parser.tool_calls())
