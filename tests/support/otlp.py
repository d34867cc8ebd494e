"""A collector of traces: decodes OTLP/JSON strictly, and can be slow, unavailable or refuse."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from tests.support.http_server import serve_http


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A message of the protocol; a field that it does not have is an error."""


class _Values(_Strict):
    values: list[AnyValue]


class AnyValue(_Strict):
    """Exactly one of the fields is set."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: str | None = None
    double_value: float | None = None
    array_value: _Values | None = None

    @property
    def plain(self) -> Any:
        if self.array_value is not None:
            return [value.plain for value in self.array_value.values]
        if self.int_value is not None:
            return int(self.int_value)
        (value,) = (each for each in (self.string_value, self.bool_value, self.double_value) if each is not None)
        return value


class _KeyValue(_Strict):
    key: str
    value: AnyValue


class _Status(_Strict):
    code: int


class OtlpSpan(_Strict):
    """A span as `opentelemetry.proto.trace.v1.Span` in JSON: ids are hexadecimal, 64-bit integers are strings."""

    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[_KeyValue]
    flags: int
    parent_span_id: str = ""
    status: _Status | None = None


class _Scope(_Strict):
    name: str


class _ScopeSpans(_Strict):
    scope: _Scope
    spans: list[OtlpSpan]


class _Resource(_Strict):
    attributes: list[_KeyValue]


class _ResourceSpans(_Strict):
    resource: _Resource
    scope_spans: list[_ScopeSpans]


class _Request(_Strict):
    resource_spans: list[_ResourceSpans]


_decode = msgspec.json.Decoder(_Request).decode


@dataclass(frozen=True)
class Received:
    """A received span with the attributes of its process."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    is_error: bool
    ns: int

    @property
    def service(self) -> str:
        return str(self.resource["service.name"])


def spans_of(body: bytes) -> list[Received]:
    """Decode a request."""
    return [
        _received(span, {each.key: each.value.plain for each in group.resource.attributes})
        for group in _decode(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _received(span: OtlpSpan, resource: dict[str, Any]) -> Received:
    assert (len(bytes.fromhex(span.trace_id)), len(bytes.fromhex(span.span_id))) == (16, 8)
    attributes = {each.key: each.value.plain for each in span.attributes}
    assert len(attributes) == len(span.attributes), "an attribute is there twice"
    return Received(
        trace=span.trace_id,
        id=span.span_id,
        parent=span.parent_span_id,
        name=span.name,
        kind=span.kind,
        attributes=attributes,
        resource=resource,
        is_error=span.status is not None and span.status.code == 2,
        ns=int(span.end_time_unix_nano) - int(span.start_time_unix_nano),
    )


@dataclass
class Collector:
    """Receives spans."""

    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    """Statuses of the next replies; later ones are 200."""
    reply: dict[str, Any] = field(default_factory=dict)
    """Body of a reply with status 200."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests hang while it is cleared."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def export(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.arrived.set()
        await self.gate.wait()
        assert request.content_type == "application/json"
        status = self.statuses.popleft() if self.statuses else 200
        if status == 200:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.spans += spans_of(body)
        return web.json_response(self.reply, status=status)

    def trace(self, name: str, value: str) -> list[Received]:
        """Return all spans of the one trace with a span that has this attribute."""
        (trace,) = {span.trace for span in self.spans if span.attributes.get(name) == value}
        return [span for span in self.spans if span.trace == trace]


@asynccontextmanager
async def serve_collector() -> AsyncIterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()
    collector.gate.set()
    async with serve_http([web.post("/v1/traces", collector.export)]) as collector.url:
        yield collector
