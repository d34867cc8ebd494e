"""Tool calls: of tools that were not offered, and in fragments of every order and numbering."""

from __future__ import annotations

from typing import Any, Final

from tests.llm_gateway.fault_table.case import TEXT, Case, accepted, replaced
from tests.support.raw_model_server import Reply, call, calls, choice, events, finish, text, usage

SEARCH: Final = "search_knowledge"
ANSWER: Final = Reply(events(text(TEXT), finish(), usage()))
WHOLE_MESSAGE: Final = (
    b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":'
    b'{"name":"search_knowledge","arguments":"{\\"query\\": \\"refund\\"}"}}]},"finish_reason":"tool_calls"}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":100}}'
)


def _query(query: str) -> str:
    return f'{{"query": "{query}"}}'


def _assembled(
    *chunks: Any, queries: tuple[str, ...] = ("refund",), reason: str = "tool_calls", **changes: Any
) -> Case:
    """Return a step with tool calls, after which the model answers."""
    return Case(
        replies=(Reply(events(*chunks, finish(reason), usage())), ANSWER), tools=True, queries=queries, **changes
    )


UNOFFERED: Final[dict[str, Case]] = {
    "call without offered tools": replaced(
        *events(calls(call("delete_account", "{}", index=0, id="a")), finish("tool_calls"), usage()),
        outcome="unoffered_call", cost="reported",
    ),
    "call without offered tools, announced": replaced(
        *events(text("Let me look."), calls(call("look", "{}", index=0, id="a")), finish("tool_calls"), usage()),
        outcome="unoffered_call", cost="reported",
    ),
    "call without offered tools, finish reason stop": replaced(
        *events(calls(call("look", "{}", index=0, id="a")), finish(), usage()),
        outcome="unoffered_call", cost="reported",
    ),
    "call without offered tools, beside a whole answer": accepted(
        *events(text(TEXT), calls(call("look", "{}", index=0, id="a")), finish(), usage()),
        oddities=("unoffered_call",),
    ),
    "call of a name that was not offered": _assembled(
        calls(call("look", "{}", index=0, id="a")), queries=(),
    ),
    "call in the text": replaced(
        *events(text("<tool_call>\n"), text('{"name": "look"}\n</tool_call>'), finish(), usage()),
        outcome="empty", cost="reported",
    ),
    "call in the text, of another engine": replaced(
        *events(text('[TOOL_CALLS][{"name": "look"}]'), finish(), usage()), outcome="empty", cost="reported"
    ),
    "call without a name": replaced(
        *events(calls(call(None, _query("refund"), index=0, id="a")), finish("tool_calls"), usage()),
        outcome="empty", cost="reported", tools=True,
    ),
    "call cut at the limit": replaced(
        *events(calls(call(SEARCH, '{"query": "ref', index=0, id="a")), finish("length"), usage()),
        outcome="cut_call", cost="reported", tools=True,
    ),
}  # fmt: skip

PIECES: Final[dict[str, Case]] = {
    "calls numbered from 1": _assembled(
        calls(call(SEARCH, index=1, id="a")), calls(call(None, _query("refund"), index=1)),
        calls(call(SEARCH, index=2, id="b")), calls(call(None, _query("days"), index=2)),
        queries=("refund", "days"),
    ),
    "calls all numbered 0, with ids": _assembled(
        calls(call(SEARCH, _query("refund"), index=0, id="a")), calls(call(SEARCH, _query("days"), index=0, id="b")),
        queries=("refund", "days"),
    ),
    "calls all numbered 0, interleaved by id": _assembled(
        calls(call(SEARCH, "", index=0, id="a"), call(SEARCH, "", index=0, id="b")),
        calls(call(None, _query("days"), index=0, id="b")), calls(call(None, _query("refund"), index=0, id="a")),
        queries=("refund", "days"),
    ),
    "calls all numbered 0, without ids": _assembled(
        calls(call(SEARCH, _query("refund"), index=0, id="")), calls(call(SEARCH, _query("days"), index=0, id="")),
        queries=("refund", "days"),
    ),
    "calls without numbers and ids": _assembled(
        calls(call(SEARCH, '{"query":')), calls(call(None, '"refund"}')), calls(call(SEARCH, _query("days"))),
        queries=("refund", "days"),
    ),
    "id in every fragment": _assembled(
        calls(call(SEARCH, "", index=0, id="a")), calls(call(None, '{"query":', index=0, id="a")),
        calls(call(None, '"refund"}', index=0, id="a")),
    ),
    "id and name in every fragment": _assembled(
        calls(call(SEARCH, "", index=0, id="a")), calls(call(SEARCH, '{"query":', index=0, id="a")),
        calls(call(SEARCH, '"refund"}', index=0, id="a")),
    ),
    "id late": _assembled(
        calls(call(SEARCH, "", index=0)), calls(call(None, _query("refund"), index=0, id="a")),
    ),
    "one id for two calls": _assembled(
        calls(call(SEARCH, _query("refund"), index=0, id="a")), calls(call(SEARCH, _query("days"), index=1, id="a")),
        queries=("refund", "days"),
    ),
    "name late": _assembled(
        calls({"index": 0, "id": "a", "type": "function"}), calls(call(None, '{"query":', index=0)),
        calls(call(SEARCH, '"refund"}', index=0)),
    ),
    "function null": _assembled(
        calls({"index": 0, "id": "a", "function": None}), calls(call(SEARCH, _query("refund"), index=0)),
        calls({"index": 0, "function": None}),
    ),
    "calls interleaved": _assembled(
        calls(call(SEARCH, "", index=0, id="a"), call(SEARCH, "", index=1, id="b")),
        calls(call(None, '{"query":', index=0), call(None, '{"query":', index=1)),
        calls(call(None, '"days"}', index=1), call(None, '"refund"}', index=0)),
        queries=("refund", "days"),
    ),
    "arguments as an object": _assembled(
        calls(call(SEARCH, {"query": "refund"}, index=0, id="a")),
    ),
    "arguments null, then whole": _assembled(
        calls({"index": 0, "id": "a", "function": {"name": SEARCH, "arguments": None}}),
        calls(call(None, _query("refund"), index=0)),
    ),
    "arguments again at the end": _assembled(
        calls(call(SEARCH, '{"query": ', index=0, id="a")), calls(call(None, '"refund"}', index=0)),
        calls(call(None, _query("refund"), index=0)),
    ),
    "half characters in the arguments": _assembled(
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"search_knowledge",'
        b'"arguments":"{\\"query\\": \\"refund \\ud83d"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ude00\\"}"}}]}}]}',
        queries=("refund \N{GRINNING FACE}",),
    ),
    "half a character inside the arguments": _assembled(
        calls(call(SEARCH, '{"query": "refund \\ud83d"}', index=0, id="a")),
        queries=("refund \N{REPLACEMENT CHARACTER}",),
    ),
    "index in numerals, id a number": _assembled(
        calls(call(SEARCH, "", index="0", id=7)), calls(call(None, _query("refund"), index="0")),
    ),
    "finish reason stop": _assembled(calls(call(SEARCH, _query("refund"), index=0, id="a")), reason="stop"),
    "function call of the older API": _assembled(
        choice(delta={"function_call": {"name": SEARCH, "arguments": '{"query":'}}),
        choice(delta={"function_call": {"arguments": '"refund"}'}}),
        reason="function_call",
    ),
    "calls in a whole message": Case(
        replies=(
            Reply(
                (WHOLE_MESSAGE,),
                content_type="application/json",
            ),
            ANSWER,
        ),
        tools=True, queries=("refund",),
    ),
}  # fmt: skip

CASES: Final = {**UNOFFERED, **PIECES}
