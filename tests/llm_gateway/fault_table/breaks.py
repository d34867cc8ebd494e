"""Faults that end an answer before its time, and responses that are none."""

from __future__ import annotations

import gzip
from typing import Final

from tests.llm_gateway.fault_table.answers import FIRST, PIECES, STREAM
from tests.llm_gateway.fault_table.case import Case, replaced
from tests.support.raw_model_server import event, events, text

DEEP: Final = b'{"choices":' + b"[" * 90_000 + b"]" * 90_000 + b"}"

IN_MID_STREAM: Final[dict[str, Case]] = {
    "malformed event": replaced(*events(*PIECES, b'{"choices": oops'), outcome="malformed"),
    "event of deep JSON": replaced(*events(*PIECES, DEEP), outcome="malformed"),
    "event of other JSON": replaced(*events(*PIECES, b"7"), outcome="malformed"),
    "event of a list": replaced(*events(*PIECES, b"[1, 2]"), outcome="malformed"),
    "endless event": replaced(*events(*PIECES, done=False), b"data: " + b"x" * (2 << 20), outcome="malformed"),
    "cut": replaced(*events(*PIECES, done=False), end="cut", outcome="cut"),
    "ended without finish reason": replaced(*events(*PIECES, done=False), outcome="cut"),
    "ended by a proxy as if it were complete": replaced(*events(*PIECES), outcome="cut"),
    "ended inside an event": replaced(*events(text(FIRST), done=False), event(text("5"))[:-9], outcome="malformed"),
    "error event": replaced(*events(*PIECES, {"error": {"message": "out of memory", "code": 500}}), outcome="status"),
    "error event of text": replaced(*events(*PIECES, {"error": "CUDA error"}), outcome="status"),
    "error event without its field": replaced(
        *events(*PIECES, {"object": "error", "message": "engine is dead", "type": "InternalServerError", "code": 500}),
        outcome="status",
    ),
    "error event of a web framework": replaced(*events(*PIECES, {"detail": "Internal Server Error"}), outcome="status"),
    "error event that names the request": replaced(
        *events(*PIECES, {"error": {"type": "invalid_request_error", "message": "too long"}}), outcome="request"
    ),
    "silence": replaced(
        *events(*PIECES, done=False), end="open", outcome="timeout", config={"idle_timeout_s": 0.2}
    ),
}  # fmt: skip

NO_ANSWER: Final[dict[str, Case]] = {
    "error as a response without fault": replaced(
        b'{"error":{"message":"overloaded","type":"overloaded_error"}}',
        content_type="application/json", outcome="status", cost="none",
    ),
    "error as events": replaced(b'{"error":{"message":"overloaded"}}', outcome="status", cost="none"),
    "error in a list": replaced(
        b'[{"error":{"code":503,"message":"high demand","status":"UNAVAILABLE"}}]',
        content_type="application/json", outcome="status", cost="none",
    ),
    "choices null and nothing else": replaced(
        b'{"id":"gen-1","choices":null}', content_type="application/json", outcome="cut", cost="prompt"
    ),
    "page of a login": replaced(
        b"<html>Welcome</html>", content_type="text/html", outcome="malformed", cost="none"
    ),
    "page as plain text": replaced(
        b"upstream connect error", content_type="text/plain", outcome="malformed", cost="none"
    ),
    "nothing": replaced(outcome="cut", cost="prompt"),
    "nothing as JSON": replaced(content_type="application/json", outcome="malformed", cost="none"),
    "only comments": replaced(b": PROCESSING\n\n" * 3, outcome="cut", cost="prompt"),
    "only the mark of the end": replaced(b"data: [DONE]\n\n", outcome="cut", cost="prompt"),
    "damaged compression": replaced(
        gzip.compress(STREAM)[:40] + b"damaged" * 9, headers={"Content-Encoding": "gzip"}, outcome="cut", cost="prompt"
    ),
    "too many requests": replaced(
        b"slow down", status=429, headers={"Retry-After": "60"}, outcome="status", cost="none"
    ),
    "server error": replaced(b"oops", status=500, outcome="status", cost="none"),
    "overloaded": replaced(b"", status=529, outcome="status", cost="none"),
    "key refused": replaced(b"who are you?", status=401, outcome="status", cost="none"),
    "quota used up": replaced(b'{"error":{"code":"insufficient_quota"}}', status=429, outcome="status", cost="none"),
    "model unknown": replaced(b"no such model", status=404, outcome="status", cost="none"),
    "field refused": replaced(
        b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}',
        status=422, outcome="request", cost="none",
    ),
    "hidden behind a page": replaced(b"", status=302, headers={"Location": "/login"}, outcome="status", cost="none"),
}  # fmt: skip

ANTHROPIC_START: Final = {"type": "message_start", "message": {"usage": {"input_tokens": 1000, "output_tokens": 1}}}
ANTHROPIC_TEXT: Final = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": FIRST}}
ANTHROPIC: Final = {"kind": "anthropic"}


def _ended(reason: str) -> tuple[bytes, ...]:
    delta = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 100}}
    return events(ANTHROPIC_START, ANTHROPIC_TEXT, delta, {"type": "message_stop"}, done=False)


OTHER_DIALECT: Final[dict[str, Case]] = {
    "message refused by its provider": replaced(
        *_ended("refusal"), outcome="content_filter", withdrawn=True, cost="reported", config=ANTHROPIC
    ),
    "message without its end": replaced(*_ended("end_turn")[:-1], outcome="cut", cost="reported", config=ANTHROPIC),
    "message overloaded": replaced(
        *events(ANTHROPIC_START, ANTHROPIC_TEXT, {"type": "error", "error": {"type": "overloaded_error"}}),
        outcome="status", cost="prompt", config=ANTHROPIC,
    ),
}  # fmt: skip

CASES: Final = {**IN_MID_STREAM, **NO_ANSWER, **OTHER_DIALECT}
