"""The W3C header `traceparent`, and the head sampling of traces."""

from __future__ import annotations

import re
from typing import Final

import msgspec

TRACEPARENT: Final = "traceparent"
"""Name of the header; servers and collectors expect it in lower case."""

_TRACE_BITS: Final = 64
"""The lower bits of a trace id that decide about sampling, as in OpenTelemetry's ratio sampler."""
_HEADER: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.{0,200})?",
    re.ASCII | re.DOTALL,
)
_SAMPLED: Final = 1


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A span of a sampled trace. Both ids are positive, of 128 and 64 bits."""

    trace_id: int
    span_id: int


def format_traceparent(context: TraceContext) -> str:
    """Return the header for the children of a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def parse_traceparent(header: str) -> TraceContext | None:
    """Return the span that a header names; None if it is malformed, or if its trace is not sampled.

    A later version of the header may have further fields, which are ignored.
    """
    found = _HEADER.fullmatch(header)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["rest"]):
        return None
    context = TraceContext(int(found["trace"], 16), int(found["span"], 16))
    is_valid = context.trace_id > 0 and context.span_id > 0
    return context if is_valid and int(found["flags"], 16) & _SAMPLED else None


def sampling_bound(share: float) -> int:
    """Return the bound below which the lower bits of a trace id select it; `share` is from 0 to 1."""
    return round(share * (1 << _TRACE_BITS))


def is_sampled(trace_id: int, bound: int) -> bool:
    """Return whether a trace is recorded, by its id alone: every process would decide alike."""
    return trace_id & ((1 << _TRACE_BITS) - 1) < bound
