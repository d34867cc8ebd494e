"""The header `traceparent` and the decision about sampling."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_chassis.tracing.trace_context import (
    TraceContext,
    format_traceparent,
    is_sampled,
    parse_traceparent,
    sampling_bound,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = TraceContext(int(TRACE, 16), int(SPAN, 16))


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_header_names_the_span_that_wrote_it(trace_id: int, span_id: int) -> None:
    """Parsing inverts formatting."""
    context = TraceContext(trace_id, span_id)
    assert parse_traceparent(format_traceparent(context)) == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"\u0660\u0660-{TRACE}-{SPAN}-01",
    ],
)
def test_malformed_header_names_no_span(header: str) -> None:
    """The examples of the specification, and whitespace around a header."""
    assert parse_traceparent(header) is None


@pytest.mark.parametrize(("flags", "is_recorded"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_flag_of_the_sender_decides(flags: str, is_recorded: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """Other flags are ignored."""
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}") == (CONTEXT if is_recorded else None)


def test_header_of_a_later_version_is_understood() -> None:
    """Its further fields are ignored."""
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-what-comes-next") == CONTEXT


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 1.0])
def test_share_of_trace_ids_is_sampled(share: float) -> None:
    """Of 1,000 ids that are evenly distributed, the share is exact."""
    ids = [(7 << 64) + round((number + 0.5) * 2**64 / 1_000) for number in range(1_000)]
    assert sum(is_sampled(trace_id, sampling_bound(share)) for trace_id in ids) == round(share * 1_000)
