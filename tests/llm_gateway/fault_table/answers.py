"""Peculiarities of whole answers: usage, shapes of chunks, characters, framing, thoughts, faults after the end."""

from __future__ import annotations

from typing import Final

import msgspec

from tests.llm_gateway.fault_table.case import TEXT, Case, accepted
from tests.support.raw_model_server import DONE, choice, event, events, finish, text, usage

FIRST, REST = "Refunds take ", "5 days [1]."
PIECES: Final = (text(FIRST), text(REST))
WHOLE: Final = (*PIECES, finish(), usage())
STREAM: Final = b"".join(events(*WHOLE))
REPLY: Final = msgspec.json.encode(
    choice(message={"content": TEXT}, finish_reason="stop") | {"usage": usage()["usage"]}
)


def _with_usage(report: object, **changes: object) -> Case:
    return accepted(*events(*PIECES, finish(), {"choices": [], "usage": report}), **changes)


USAGE: Final[dict[str, Case]] = {
    "usage null": _with_usage(None, cost="estimated", oddities=("usage_missing",)),
    "usage missing": accepted(*events(*PIECES, finish()), cost="estimated", oddities=("usage_missing",)),
    "usage of zeros": _with_usage(
        {"prompt_tokens": 0, "completion_tokens": 0}, cost="estimated", oddities=("usage_missing",)
    ),
    "usage fractional": _with_usage({"prompt_tokens": 999.5, "completion_tokens": 100.0}),
    "usage in numerals": _with_usage({"prompt_tokens": "1000", "completion_tokens": "100"}),
    "usage negative and absurd": _with_usage(
        {"prompt_tokens": -1, "completion_tokens": 1e30}, cost="estimated", oddities=("usage_missing",)
    ),
    "usage as text": _with_usage("unknown", cost="estimated", oddities=("usage_missing",)),
    "usage under the names of another API": _with_usage({"input_tokens": 1000, "output_tokens": 100}),
    "usage under the names of Ollama": _with_usage({"prompt_eval_count": 1000, "eval_count": 100}),
    "usage in Groq's field": accepted(
        *events(*PIECES, finish() | {"x_groq": {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}})
    ),
    "usage inside the choice": accepted(*events(*PIECES, finish(usage=usage()["usage"]))),
    "usage as llama.cpp's timings": accepted(
        *events(*PIECES, finish() | {"timings": {"prompt_n": 1000, "predicted_n": 100, "predicted_ms": 2.5}})
    ),
    "usage in every chunk": accepted(
        *events(*(chunk | {"usage": {"prompt_tokens": 1000, "completion_tokens": n}} for chunk, n in
                  ((text(FIRST), 40), (text(REST), 99), (finish(), 100))))
    ),
}  # fmt: skip

SHAPES: Final[dict[str, Case]] = {
    "choices null": accepted(*events(*WHOLE[:3], usage() | {"choices": None})),
    "choices an object": accepted(
        *events({"choices": {"delta": {"content": FIRST}}}, text(REST), finish(), usage())
    ),
    "content a list of parts": accepted(
        *events(text([{"type": "text", "text": FIRST}]), text([{"type": "text", "text": REST}]), finish(), usage())
    ),
    "content with a part of thoughts": accepted(
        *events(
            text([{"type": "thinking", "thinking": [{"type": "text", "text": "Which refund?"}]}]),
            text([{"type": "text", "text": TEXT}]),
            finish(),
            usage(),
        )
    ),
    "content null, then text": accepted(*events(choice(delta={"role": "assistant", "content": None}), *WHOLE)),
    "fields null": accepted(
        *events(
            choice(delta={"role": None, "content": FIRST, "tool_calls": None, "function_call": None, "refusal": None},
                   logprobs=None, finish_reason=None) | {"error": None, "usage": None, "system_fingerprint": None},
            text(REST), finish(), usage(),
        )
    ),
    "refusal in place of content": accepted(
        *events(choice(delta={"refusal": FIRST}), choice(delta={"refusal": REST}), finish(), usage())
    ),
    "message in place of delta": accepted(*events(choice(message={"content": TEXT}), finish(), usage())),
    "message so far beside every delta": accepted(
        *events(
            choice(delta={"content": FIRST}, message={"content": FIRST}),
            choice(delta={"content": REST}, message={"content": TEXT}),
            choice(message={"content": TEXT}, finish_reason="stop"),
            usage(),
        )
    ),
    "finish reason empty until the end": accepted(
        *events(text(FIRST, finish_reason=""), text(REST, finish_reason=""), finish(), usage())
    ),
    "finish reason in every chunk": accepted(
        *events(text(FIRST, finish_reason="stop"), text(REST, finish_reason="stop"), usage()),
        oddities=("text_after_finish_reason",),
    ),
    "finish reason in capitals": accepted(*events(*PIECES, finish("STOP"), usage())),
    "finish reason of another engine": accepted(*events(*PIECES, finish("eos_token"), usage())),
    "finish reason unknown": accepted(
        *events(*PIECES, finish("satisfied"), usage()), stop_reason="satisfied", oddities=("unknown_stop_reason",)
    ),
    "no finish reason, as configured": accepted(
        *events(*PIECES, usage()), config={"ends_with": "done"}
    ),
}  # fmt: skip

CHARACTERS: Final[dict[str, Case]] = {
    "half characters in two chunks": accepted(
        *events(b'{"choices":[{"delta":{"content":"Yes \\ud83d"}}]}', b'{"choices":[{"delta":{"content":"\\ude00!"}}]}',
                finish(), usage()),
        seen="Yes \N{GRINNING FACE}!",
    ),
    "half a character alone": accepted(
        *events(b'{"choices":[{"delta":{"content":"Yes \\ud83d"}}]}', text(" sure."), finish(), usage()),
        seen="Yes \N{REPLACEMENT CHARACTER} sure.",
    ),
    "half a character at the end": accepted(
        *events(text("Yes"), b'{"choices":[{"delta":{"content":"! \\ud83d"}}]}', finish(), usage()),
        seen="Yes! \N{REPLACEMENT CHARACTER}",
    ),
    "byte that is not UTF-8": accepted(
        *events(b'{"choices":[{"delta":{"content":"Yes \xff."}}]}', finish(), usage()),
        seen="Yes \N{REPLACEMENT CHARACTER}.",
    ),
    "byte that is not UTF-8 in a field of no interest": accepted(*events(b'{"id":"\xff","choices":[]}', *WHOLE)),
    "NUL": accepted(*events(text("Yes\x00."), finish(), usage()), seen="Yes\x00."),
}  # fmt: skip

FRAMING: Final[dict[str, Case]] = {
    "lines end in CRLF": accepted(STREAM.replace(b"\n", b"\r\n")),
    "lines end in CR": accepted(STREAM.replace(b"\n", b"\r")),
    "byte order mark": accepted(b"\xef\xbb\xbf" + STREAM),
    "comments between events": accepted(
        b": PROCESSING\n\n", event(PIECES[0]), b": PROCESSING\n\n", *events(*WHOLE[1:])
    ),
    "names and ids of events": accepted(
        *(b"event: chunk\nid: 7\nretry: 10\n" + each for each in events(*WHOLE)),
    ),
    "several data lines in an event": accepted(
        *(b"data: " + msgspec.json.format(msgspec.json.encode(chunk), indent=1).replace(b"\n", b"\ndata: ") + b"\n\n"
          for chunk in WHOLE), DONE,
    ),
    "one line break between events": accepted(
        STREAM.replace(b"\n\n", b"\n"), oddities=("undivided_events",)
    ),
    "no blank line at the end": accepted(STREAM.removesuffix(b"\n\n")),
    "events as plain text": accepted(STREAM, content_type="text/plain"),
    "events as bytes": accepted(STREAM, content_type="application/octet-stream"),
    "events as JSON": accepted(STREAM, content_type="application/json"),
    "JSON as events": accepted(REPLY),
    "JSON as plain text": accepted(REPLY, content_type="text/plain"),
    "not streamed": accepted(REPLY, content_type="application/json"),
    "not streamed, after blank lines": accepted(b"\n", b"\n\n", REPLY, content_type="application/json"),
    "not streamed, without finish reason": accepted(
        REPLY.replace(b'"finish_reason":"stop"', b'"finish_reason":null'),
        content_type="application/json",
    ),
}  # fmt: skip

THOUGHTS: Final[dict[str, Case]] = {
    "thoughts between tags": accepted(
        *events(text("<think>Which refund?</think>\n\n" + FIRST), text(REST), finish(), usage())
    ),
    "thoughts between tags that are cut": accepted(
        *events(*(text(piece) for piece in ("<th", "ink>Which", " refund?</", "think", ">\n", TEXT)), finish(), usage())
    ),
    "thoughts without opening tag, as configured": accepted(
        *events(text("Which refund?"), text("</think>"), *WHOLE), config={"thinking": "prefilled"}
    ),
    "thoughts in a field of their own": accepted(*events(choice(delta={"reasoning_content": "Which refund?"}), *WHOLE)),
    "tags of the answer itself": accepted(
        *events(text("Type <b> or [x] or a < b"), text("."), finish(), usage()), seen="Type <b> or [x] or a < b."
    ),
}

LATE: Final[dict[str, Case]] = {
    "malformed event after the end": accepted(
        *events(*PIECES, finish(), b"{oops"), cost="estimated", oddities=("late_malformed", "usage_missing")
    ),
    "error event after the end": accepted(
        *events(*WHOLE, {"error": {"message": "out of memory"}}), oddities=("late_status",)
    ),
    "deep JSON after the end": accepted(
        *events(*WHOLE, b'{"usage":' + b"[" * 90_000 + b"]" * 90_000 + b"}"), oddities=("late_malformed",)
    ),
    "endless event after the end": accepted(
        *events(*WHOLE, done=False), b"data: " + b"x" * (2 << 20), oddities=("late_malformed",)
    ),
    "cut after the end": accepted(*events(*WHOLE, done=False), end="cut", oddities=("late_cut",)),
    "open after the end": accepted(*events(*WHOLE, done=False), end="open", oddities=("late_timeout",)),
    "closed without its last event": accepted(*events(*WHOLE, done=False)),
}

CASES: Final = {**USAGE, **SHAPES, **CHARACTERS, **FRAMING, **THOUGHTS, **LATE}
