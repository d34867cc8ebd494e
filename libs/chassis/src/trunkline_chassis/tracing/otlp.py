"""OTLP over HTTP: spans as an `ExportTraceServiceRequest` in its JSON form, and the collector's reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from trunkline_protocols.decoding import Decoder

from trunkline_chassis.tracing.span_types import ERROR, FINISH_REASON, Attribute, Kind, SpanType
from trunkline_chassis.tracing.trace_context import TraceContext

_KINDS: Final[dict[Kind, int]] = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUS_ERROR: Final = 2
_SAMPLED_FLAG: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}", re.ASCII)
"""Values of names and ids: no spaces, so that no sentence is one."""

AttributeValue = str | int | float | bool


class FinishedSpan(msgspec.Struct, frozen=True, gc=False):
    """A span that has ended; times in nanoseconds since 1970, `parent` is 0 for the root."""

    type: SpanType
    context: TraceContext
    parent: int
    started_ns: int
    ended_ns: int
    attributes: dict[Attribute, AttributeValue]
    error: str = ""
    """Class of an exception or code of a refusal."""


class _PartialSuccess(msgspec.Struct):
    rejected: int | str = msgspec.field(default=0, name="rejectedSpans")


class ExportReply(msgspec.Struct):
    """The reply of a collector that has accepted a request."""

    partial: _PartialSuccess | None = msgspec.field(default=None, name="partialSuccess")

    @property
    def rejected(self) -> int:
        """Number of spans that the collector did not accept; as JSON, an integer of 64 bits may be a string."""
        text = str(self.partial.rejected if self.partial is not None else 0)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - of a batch


export_reply: Final[Decoder[ExportReply]] = Decoder(ExportReply)
_encode: Final = msgspec.json.Encoder().encode


def encode_spans(spans: Iterable[FinishedSpan], resource: Mapping[str, str]) -> bytes:
    """Return the request that exports spans; `resource` are the attributes of this process."""
    scope = {"scope": {"name": "trunkline"}, "spans": [_span(span) for span in spans]}
    attributes = [_attribute(name, value) for name, value in resource.items() if value]
    return _encode({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]})


def _span(span: FinishedSpan) -> dict[str, Any]:
    kind = span.type
    values = {name: value for name, value in span.attributes.items() if _is_plain(value)}
    attributes = [_attribute(name, value) for name, value in kind.fixed.items()]
    attributes += [_attribute(attribute.name, value) for attribute, value in values.items()]
    name = kind.name
    if kind.named_after is not None and kind.named_after in values:
        name = f"{name} {values[kind.named_after]}"
    encoded: dict[str, Any] = {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "flags": _SAMPLED_FLAG,
        "name": name,
        "kind": _KINDS[kind.kind],
        "startTimeUnixNano": str(span.started_ns),
        "endTimeUnixNano": str(max(span.started_ns, span.ended_ns)),
        "attributes": attributes,
    }
    if span.parent:
        encoded["parentSpanId"] = f"{span.parent:016x}"
    if span.error:
        attributes.append(_attribute(ERROR.name, span.error if _is_plain(span.error) else "other"))
        encoded["status"] = {"code": _STATUS_ERROR}
    return encoded


def _is_plain(value: AttributeValue) -> bool:
    """Return whether a value is a number, a name or an id, and not a text."""
    return not isinstance(value, str) or _NAME.fullmatch(value) is not None


def _attribute(name: str, value: AttributeValue) -> dict[str, Any]:
    return {"key": name, "value": _value(name, value)}


def _value(name: str, value: AttributeValue) -> dict[str, Any]:
    if name == FINISH_REASON.name:
        return {"arrayValue": {"values": [{"stringValue": str(value)}]}}
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
