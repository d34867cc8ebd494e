"""CPU of the helper functions of traces, per turn: off, on but not sampled, and sampled.

One turn without tools makes these calls in five processes. The encoding of its spans is measured apart.

    python -m bench.traces
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from trunkline_chassis.tracing import span_types as spans
from trunkline_chassis.tracing.otlp import FinishedSpan, encode_spans
from trunkline_chassis.tracing.trace_context import TRACEPARENT
from trunkline_chassis.tracing.tracer import (
    continue_trace,
    received_traceparent,
    span,
    start_trace,
    traceparent,
    turn_off,
    turn_on,
)

_ROUNDS: Final = 9
_TURNS: Final = 2_000
_RESOURCE: Final = {"service.namespace": "trunkline", "service.name": "agents", "service.instance.id": "agents-1"}


def _turn() -> None:
    """Make the calls of a turn that triage routes and an agent answers with one completion."""
    with start_trace(spans.ACCEPT_MESSAGE) as trace:
        trace.set(spans.CONVERSATION, "c-1")
        with span(spans.APPEND_INBOX):
            header = traceparent()
    headers = {"Nats-Msg-Id": "c-1-m1", TRACEPARENT: header}
    with continue_trace(spans.PROCESS_TURN, received_traceparent(headers)) as turn:
        turn.set(spans.CONVERSATION, "c-1")
        turn.set(spans.INBOX_SEQ, 1)
        _decide()
        sent = ""
        for _ in range(2):
            with span(spans.DISPATCH) as dispatched:
                dispatched.set(spans.OUTCOME, "Work")
                sent = traceparent()
                _decide()
        with span(spans.COMMIT) as committed:
            traceparent()
            committed.set(spans.TURN, "c-1-1")
            committed.set(spans.COMMIT_KIND, "turn")
            committed.set(spans.COMMIT_SEQ, 2)
            committed.set(spans.EPOCH, 0)
    with continue_trace(spans.PROCESS_WORK, sent) as work:
        work.set(spans.TURN, "c-1-1")
        for _ in range(2):
            with span(spans.INVOKE_AGENT), span(spans.ROUTE) as routed:
                routed.set(spans.SPECIALTY, "billing")
                routed.set(spans.AGENT, "billing-refunds")
        with span(spans.ANALYSE) as analysed:
            asked = traceparent()
            analysed.set(spans.PASSAGES, 5)
        with span(spans.REQUEST_COMPLETION) as requested:
            requested.set(spans.ATTEMPT, 1)
            wanted = traceparent()
    with continue_trace(spans.SERVE_KNOWLEDGE, asked):
        pass
    with continue_trace(spans.COMPLETE, wanted), span(spans.CHAT) as chat:
        if chat.is_recorded:
            chat.set(spans.PROVIDER, "simulated")
            chat.set(spans.REQUEST_MODEL, "simulated")
            chat.set(spans.INPUT_TOKENS, 900)
            chat.set(spans.OUTPUT_TOKENS, 120)


def _decide() -> None:
    with span(spans.DECIDE) as decided:
        decided.set(spans.OUTCOME, "Work")


def _us(work: Callable[[], None], count: int = _TURNS) -> float:
    """Return the median CPU time of one call, in microseconds."""
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(count):
            work()
        rounds.append((time.process_time() - started) / count * 1e6)
    return round(median(rounds), 2)


def main() -> None:
    """Print one JSON object."""
    finished: list[FinishedSpan] = []

    def sampled() -> None:
        finished.clear()
        _turn()

    turn_off()
    off = _us(_turn)
    turn_on(finished.append, sampling=0.0)
    unsampled = _us(_turn)
    turn_on(finished.append, sampling=1.0)
    recorded = _us(sampled)
    turn_off()
    result = {
        "off_us_per_turn": off,
        "unsampled_us_per_turn": unsampled,
        "sampled_us_per_turn": recorded,
        "spans_per_turn": len(finished),
        "encoding_us_per_turn": _us(lambda: _encode(finished), 500),
        "bytes_per_turn": len(encode_spans(finished, _RESOURCE)),
    }
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _encode(finished: list[FinishedSpan]) -> None:
    encode_spans(finished, _RESOURCE)


if __name__ == "__main__":
    main()
