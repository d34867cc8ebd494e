"""Ends of an answer that are not a plain stop: cut at the limit, withdrawn, given up, empty."""

from __future__ import annotations

from typing import Final

from tests.llm_gateway.fault_table.answers import FIRST, PIECES, REST
from tests.llm_gateway.fault_table.case import BACKUP_TEXT, TEXT, Case, accepted, replaced
from tests.support.raw_model_server import Reply, choice, event, events, finish, text, usage

CUT: Final = Reply(events(text("Refunds take "), finish("length"), usage()))
FILTERED: Final = b'{"error":{"message":"The response was filtered","code":"content_filter","status":400}}'

LENGTH: Final[dict[str, Case]] = {
    "cut at the limit, no continuation": accepted(
        *events(text("Refunds take 5"), finish("length"), usage()), seen="Refunds take 5 …", stop_reason="length"
    ),
    "cut at the limit behind a sentence": accepted(
        *events(text(TEXT), finish("max_tokens"), usage()), stop_reason="length"
    ),
    "cut at the limit, continued": Case(
        replies=(CUT, Reply(events(text(REST), finish(), usage()))),
        config={"continues": "prefill"},
        outcomes=("length",),
    ),
    "cut at the limit, continued with an echo": Case(
        replies=(CUT, Reply(events(text(FIRST), text(REST), finish(), usage()))),
        config={"continues": "mistral"},
        outcomes=("length",),
    ),
    "cut at the limit again and again": Case(
        replies=(
            CUT,
            Reply(events(text("about "), finish("length"), usage())),
            Reply(events(text("5 or "), finish("length"), usage())),
        ),
        config={"continues": "vllm"},
        outcomes=("length", "length"),
        seen="Refunds take about 5 or …",
        stop_reason="length",
    ),
    "cut at the limit, continuation fails": Case(
        replies=(CUT, Reply(events(text(REST), done=False), end="cut"), Reply(status=500)),
        config={"continues": "prefill"},
        outcomes=("length", "cut"),
        seen=BACKUP_TEXT,
        provider="backup",
        cost="prompt",
    ),
}

WITHDRAWN: Final[dict[str, Case]] = {
    "filtered in mid-text": replaced(
        *events(*PIECES, finish("content_filter"), usage()), outcome="content_filter", withdrawn=True, cost="reported"
    ),
    "filtered before any text": replaced(
        *events(finish("content_filter"), usage()), outcome="content_filter", cost="reported"
    ),
    "filtered after the end": replaced(
        *events(*PIECES, finish(), finish("content_filter"), usage()),
        outcome="content_filter", withdrawn=True, cost="reported",
    ),
    "filtered by an error event": replaced(*events(*PIECES, FILTERED), outcome="content_filter", withdrawn=True),
    "filtered by an error event after the end": replaced(
        *events(*PIECES, finish(), usage(), FILTERED), outcome="content_filter", withdrawn=True, cost="reported"
    ),
    "filtered, in the word of another provider": replaced(
        *events(*PIECES, finish("SAFETY"), usage()), outcome="content_filter", withdrawn=True, cost="reported"
    ),
    "sensitive, in the word of another provider": replaced(
        *events(*PIECES, finish("sensitive"), usage()), outcome="content_filter", withdrawn=True, cost="reported"
    ),
    "prompt filtered": replaced(FILTERED, status=400, outcome="content_filter", cost="none"),
    "thoughts without opening tag": replaced(
        *events(text("The customer wants"), text(" a refund.</think>"), *PIECES, finish(), usage()),
        outcome="thoughts", withdrawn=True, pauses_after=1, cost="prompt",
    ),
}  # fmt: skip

GIVEN_UP: Final[dict[str, Case]] = {
    "finish reason error": replaced(
        *events(*PIECES, finish("error"), usage()), outcome="status", cost="reported"
    ),
    "finish reason of a server without resources": replaced(
        *events(*PIECES, finish("insufficient_system_resource"), usage()), outcome="status", cost="reported"
    ),
    "finish reason of an aborted request": replaced(
        *events(*PIECES, finish("abort"), usage()), outcome="status", cost="reported"
    ),
    "finish reason of a model that was loaded": replaced(
        *events(text(""), finish("load"), usage()), outcome="status", cost="reported"
    ),
    "only white space": replaced(*events(text(" \n"), finish(), usage()), outcome="empty", cost="reported"),
    "no text": replaced(*events(text(""), finish(), usage()), outcome="empty", cost="reported"),
    "only thoughts until the limit": replaced(
        *events(text("<think>Which refund"), finish("length"), usage()), outcome="empty", cost="reported"
    ),
    "only thoughts in a field of their own": replaced(
        *events(choice(delta={"reasoning": "Which refund?"}), finish("length"), usage()),
        outcome="empty", cost="reported",
    ),
    "finish reason in every chunk, then cut": replaced(
        event(text(FIRST, finish_reason="stop")), event(text("5", finish_reason="stop")),
        end="cut", outcome="cut",
    ),
}  # fmt: skip

CASES: Final = {**LENGTH, **WITHDRAWN, **GIVEN_UP}
