"""Records of tool calls: no secret and no value bound to the customer, and never longer than their bounds."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, strategies as st
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.core.tool_records import (
    HIDDEN,
    MAX_TEXT_CHARACTERS,
    MAX_TURN_CHARACTERS,
    FinishedCall,
    mask,
    tool_uses,
)
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.context import Context, Fact
from trunkline_protocols.fleet import Tool
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome

from tests.agents.test_tool_bindings import MakeAgent
from tests.agents.tool_agent import Environment, ToolAgent, calling, text_of
from tests.support.http_server import serve_http

CONTEXT = Context(tenant="default", region="local", locale="en", transcript=[], customer="Ada Ümlaut", tier="plus")
TOOL = Tool(
    name="give-credit",
    description="d",
    url="https://shop.example/{customer}",
    bind={"customer": "customer.sub", "account": "facts.account"},
)
ACCOUNT = Fact(name="account", value=471_108, read_at=0.0)
KNOWN = msgspec.structs.replace(CONTEXT, facts=[ACCOUNT])

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=12).filter(
    lambda value: value.strip() and value not in HIDDEN
)
PIECES = st.text(max_size=20)


def use_of(
    arguments: str = "{}", result: str = "", *, tool: Tool | None = TOOL, context: Context = KNOWN, failed: bool = False
) -> ToolUse:
    call = ToolCall(id="1", name="give-credit", arguments=arguments)
    outcome = ToolOutcome(id="1", text=result, failed=failed, ms=1.5)
    (use,) = tool_uses([FinishedCall(call, outcome, "t/0.1", tool)], context)
    return use


@given(values=st.lists(VALUES, min_size=1, max_size=4, unique=True), pieces=st.lists(PIECES, min_size=1, max_size=5))
def test_masked_text_has_none_of_the_values(values: list[str], pieces: list[str]) -> None:
    """As they are, in JSON with and without escapes, and in an address; in a result of any shape."""
    forms = [
        form
        for value in values
        for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe=""))
    ]
    text = "".join(piece + form for form in forms for piece in pieces)
    rest = mask(text, dict.fromkeys(values, HIDDEN)).split(HIDDEN)
    assert [value for value in forms for part in rest if value in part] == []


@given(text=st.text(max_size=200))
def test_text_without_the_values_stays_as_it_is(text: str) -> None:
    assert mask(text, {}) == text
    assert mask(text.replace("0", ""), {"0000": HIDDEN}) == text.replace("0", "")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ADA owes ada 5", "[secret] owes [secret] 5"),
        ("adamant, Canada", "adamant, Canada"),
        ('{"id":"ada","n":1}', '{"id":"[secret]","n":1}'),
    ],
)
def test_short_value_is_masked_as_a_whole_word(text: str, masked: str) -> None:
    """Within other words it is there by chance."""
    assert mask(text, {"ada": HIDDEN}) == masked


def test_bound_arguments_are_recorded_by_their_sources() -> None:
    """Not by their values, which the model's own words and the result have no more."""
    use = use_of(
        '{"amount": 5, "customer": "bob", "note": "for ada ümlaut"}',
        'credited {"customer":"Ada \\u00dcmlaut","account":471108,"path":"/Ada%20%C3%9Cmlaut"}',
    )
    assert msgspec.json.decode(use.arguments) == {
        "amount": 5,
        "note": "for [customer.sub]",
        "customer": "[customer.sub]",
        "account": "[facts.account]",
    }
    assert use.result == ('credited {"customer":"[customer.sub]","account":[facts.account],"path":"/[customer.sub]"}')
    assert (use.outcome, use.key, use.ms) == ("done", "t/0.1", 1.5)


def test_truth_values_and_unknown_facts_mask_nothing() -> None:
    flag = Fact(name="account", value=True, read_at=0.0)
    assert (
        use_of(result="True or true", context=msgspec.structs.replace(CONTEXT, facts=[flag])).result == "True or true"
    )
    assert use_of(result="471108", context=CONTEXT).result == "471108"


def test_call_of_an_unknown_tool_and_arguments_that_are_no_json_are_recorded() -> None:
    """As the model wrote them."""
    use = use_of("{nonsense", "there is no tool", tool=None, failed=True)
    assert (use.arguments, use.result, use.outcome) == ("{nonsense", "there is no tool", "failed")


def test_long_texts_are_cut_and_hashed_as_a_whole() -> None:
    result = "é" * 3_999
    use = use_of(f'{{"note": "{"n" * 9_000}"}}', result, tool=None)
    assert (len(use.arguments), len(use.result)) == (MAX_TEXT_CHARACTERS, MAX_TEXT_CHARACTERS)
    assert use.result.endswith("é…")
    assert use.result_sha256 == hashlib.sha256(result.encode()).hexdigest()
    assert use.result_characters == 3_999


@given(sizes=st.lists(st.integers(0, 5_000), max_size=96))
def test_records_of_a_turn_are_bounded(sizes: list[int]) -> None:
    """Every call keeps outcome and hashes, the first ones also their texts."""
    calls = [
        FinishedCall(ToolCall(id="1", name="n", arguments="{}"), ToolOutcome(id="1", text="r" * size), "k", None)
        for size in sizes
    ]
    uses = tool_uses(calls, CONTEXT)
    assert len(uses) == len(sizes)
    assert sum(len(use.arguments) + len(use.result) for use in uses) <= MAX_TURN_CHARACTERS
    assert [use.result_characters for use in uses] == sizes
    assert all(len(use.result_sha256) == 64 for use in uses)
    if uses:
        assert uses[0].arguments == "{}"


def test_secret_is_masked_in_a_tool_s_answer() -> None:
    """In the form in which a server may echo it."""
    secrets = ToolSecrets(lambda name: f"key of {name}", {})
    tool = msgspec.structs.replace(TOOL, secret="shop")
    assert secrets.mask(tool, "Bearer key of shop") == "Bearer [secret]"
    assert secrets.mask(TOOL, "Bearer key of shop") == "Bearer key of shop"


@pytest.mark.processes
@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_echoed_secret_reaches_neither_model_nor_record(make_agent: MakeAgent, status: int) -> None:
    """Whether the call succeeds or fails."""

    async def echo(request: web.Request) -> web.Response:
        # Near the limit of what a model gets: it must not be cut in two first.
        return web.Response(status=status, text="x" * 3_950 + request.headers["Authorization"] * 9)

    async with serve_http([web.get("/echo", echo)], cancels_handlers=False) as url:
        tool = Tool(name="echo", description="d", method="GET", url=f"{url}/echo", secret="shop-key")
        agent: ToolAgent = make_agent(tool, environment=Environment())
        outcome = await agent.attempt(calling(ToolCall(id="1", name="echo", arguments="{}")))
    assert agent.result is not None
    (use,) = agent.result.uses
    assert use.result_characters > MAX_TEXT_CHARACTERS
    for text in (text_of(outcome), use.result):
        assert "secret of" not in text
