"""The current span of a task, and the four calls that the services make.

start_trace      the root, at the ingress, which decides alone whether a trace is recorded
continue_trace   a span whose parent is in another process, named by the header `traceparent` of its message
span             a child of the current span
traceparent      the header for a message that leaves the process

If traces are off, or the turn is not sampled, the first three return one shared object without effect and the last an
empty text: no span, no header, no allocation. A task inherits the span in which it was created.
"""

from __future__ import annotations

import random
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Self

from trunkline_chassis.tracing.otlp import AttributeValue, FinishedSpan
from trunkline_chassis.tracing.trace_context import (
    TRACEPARENT,
    TraceContext,
    format_traceparent,
    is_sampled,
    parse_traceparent,
    sampling_bound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType

    from trunkline_chassis.tracing.span_types import Attribute, SpanType

_current: ContextVar[TraceContext | None] = ContextVar("trunkline_span", default=None)


class TurnSpan:
    """A span that is not recorded; the base of the one that is."""

    __slots__ = ()
    is_recorded = False

    def set(self, attribute: Attribute, value: AttributeValue) -> None:
        """Set an attribute of the span's type; others, and texts that are no name or id, are not exported."""

    def fail(self, error: str) -> None:
        """Mark the span as failed, by the code of a refusal; it outranks the class of an exception."""

    def __enter__(self) -> Self:
        """Make it the current span."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the span; an exception marks it as failed, by its class alone."""


class _RecordedSpan(TurnSpan):
    __slots__ = ("_attributes", "_context", "_error", "_parent", "_record", "_started_ns", "_token", "_type")
    is_recorded = True

    def __init__(self, span_type: SpanType, trace_id: int, parent: int, record: Callable[[FinishedSpan], None]) -> None:
        self._type = span_type
        self._context = TraceContext(trace_id, random.getrandbits(64) or 1)
        self._parent = parent
        self._record = record
        self._attributes: dict[Attribute, AttributeValue] = {}
        self._error = ""
        self._started_ns = 0
        self._token: Token[TraceContext | None] | None = None

    def set(self, attribute: Attribute, value: AttributeValue) -> None:
        if attribute in self._type.attributes:
            self._attributes[attribute] = value

    def fail(self, error: str) -> None:
        self._error = error

    def __enter__(self) -> Self:
        self._started_ns = time.time_ns()
        self._token = _current.set(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        failure = self._error or (kind.__name__ if kind is not None else "")
        self._record(
            FinishedSpan(
                self._type, self._context, self._parent, self._started_ns, time.time_ns(), self._attributes, failure
            )
        )


_NO_SPAN: Final = TurnSpan()


class _Tracer:
    """The state of this process: where finished spans go, and which traces begin here."""

    __slots__ = ("bound", "record")

    def __init__(self) -> None:
        self.record: Callable[[FinishedSpan], None] | None = None
        self.bound = 0


_tracer: Final = _Tracer()


def turn_on(record: Callable[[FinishedSpan], None], *, sampling: float) -> None:
    """Record spans from now on; `record` must not block, `sampling` is the share of turns from 0 to 1."""
    _tracer.record = record
    _tracer.bound = sampling_bound(sampling)


def turn_off() -> None:
    """Record no more spans."""
    _tracer.record = None
    _tracer.bound = 0


def is_on() -> bool:
    """Return whether this process records spans of sampled turns."""
    return _tracer.record is not None


def start_trace(span_type: SpanType) -> TurnSpan:
    """Begin a trace if it is sampled."""
    record = _tracer.record
    if record is None:
        return _NO_SPAN
    trace_id = random.getrandbits(128)
    if not trace_id or not is_sampled(trace_id, _tracer.bound):
        return _NO_SPAN
    return _RecordedSpan(span_type, trace_id, 0, record)


def continue_trace(span_type: SpanType, header: str) -> TurnSpan:
    """Begin a span below that of another process; `header` is `traceparent`, empty for a turn without a trace."""
    record = _tracer.record
    if not header or record is None:
        return _NO_SPAN
    parent = parse_traceparent(header)
    if parent is None:
        return _NO_SPAN
    return _RecordedSpan(span_type, parent.trace_id, parent.span_id, record)


def span(span_type: SpanType) -> TurnSpan:
    """Begin a span below the current one."""
    parent = _current.get()
    record = _tracer.record
    if parent is None or record is None:
        return _NO_SPAN
    return _RecordedSpan(span_type, parent.trace_id, parent.span_id, record)


def traceparent() -> str:
    """Return the header that makes spans of other processes children of the current span; empty without one."""
    current = _current.get()
    return format_traceparent(current) if current is not None else ""


def trace_headers() -> dict[str, str] | None:
    """Return the headers of a request of the current span, None without one: a header costs a request a little."""
    trace = traceparent()
    return {TRACEPARENT: trace} if trace else None


def received_traceparent(headers: Mapping[str, str] | None) -> str:
    """Return the header of a message; empty if it has none, or if traces are off."""
    return headers.get(TRACEPARENT, "") if headers is not None and _tracer.record is not None else ""
