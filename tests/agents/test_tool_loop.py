"""Tool loop: validated calls, side effects at most once per turn, and failures as outcomes for the model."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trunkline_agents.application.tool_loop import Transfer
from trunkline_agents.core.tools import MAX_STEPS
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.fleet import Tool
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome

from tests.agents.tool_agent import Environment, ToolAgent, answer, calling, text_of
from tests.support.shop import Shop

pytestmark = pytest.mark.processes

REFUND = ToolCall(id="call-1", name="issue-refund", arguments='{"order": "A-1", "reason": "charged twice"}')
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string", "pattern": "^[A-Za-z0-9-]+$"}, "reason": {"type": "string"}},
    "required": ["order"],
    "additionalProperties": False,
}
MCP_SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("stock")


@server.tool()
def in_stock(item: str) -> str:
    """Return the stock of an item."""
    if item == "ghost":
        raise ValueError("no such item")
    return f"7 of {item}"


@server.tool()
def sell_all() -> str:
    """Sell everything."""
    return "sold"


server.run("stdio")
'''


def refund_tool(shop: Shop, **changes: Any) -> Tool:
    tool = Tool(
        name="issue-refund",
        description="Refund an order",
        url=f"{shop.url}/orders/{{order}}/refunds",
        parameters=SCHEMA,
        writes=True,
        unbound=True,
        secret="shop-key",
    )
    return msgspec.structs.replace(tool, **changes)


async def test_tool_is_called_as_declared(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """Arguments in path and body, the secret as bearer token, the turn's key; usage covers all steps."""
    one = make_agent(refund_tool(shop))
    outcome = await one.attempt(calling(REFUND))
    assert text_of(outcome) == '{"refund": "refund 1 of A-1"}'
    assert one.result is not None
    (use,) = one.result.uses
    assert (use.tool, use.outcome) == ("issue-refund", "done")
    assert use.arguments_sha256 == hashlib.sha256(REFUND.arguments.encode()).hexdigest()
    assert use.ms > 0
    method, path, headers, body = shop.requests[0]
    assert (method, path, body) == ("POST", "/orders/A-1/refunds", {"reason": "charged twice"})
    assert headers["Authorization"] == "Bearer secret of shop-key"
    assert headers["Idempotency-Key"] == use.key
    assert use.key.endswith("-1/0.1")
    assert isinstance(outcome, Completed)
    assert (outcome.usage.input_tokens, outcome.usage.cost) == (20, 2.0)


async def test_redelivered_turn_does_not_write_again(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """The next attempt's model receives the recorded outcome, even if it would have requested another call."""
    one = make_agent(refund_tool(shop))
    await one.attempt(calling(REFUND))
    other = msgspec.structs.replace(REFUND, id="x", arguments='{"order": "A-2"}')
    first = one.result
    assert text_of(await one.attempt(calling(other), by="try-2")) == '{"refund": "refund 1 of A-1"}'
    assert shop.refunds == {"A-1": 1}
    assert first is not None
    assert one.result is not None
    assert one.result.uses == first.uses


async def test_call_of_a_killed_attempt_is_completed_by_the_next(
    shop: Shop, make_agent: Callable[..., ToolAgent]
) -> None:
    """Under the same key: the refund is made once and its outcome is known."""
    shop.gate.clear()
    idempotent = refund_tool(shop, idempotent=True)
    one = make_agent(idempotent)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(one.attempt(calling(REFUND)))
        await shop.arrived.wait()
        dying.cancel()
    shop.gate.set()
    two = make_agent(idempotent)
    assert text_of(await two.attempt(calling(REFUND), by="try-2")) == '{"refund": "refund 1 of A-1"}'
    assert shop.refunds == {"A-1": 1}
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in shop.requests}) == 1
    assert len(shop.requests) == 2


async def test_call_is_not_repeated_by_default(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """The model receives an unknown outcome if an earlier attempt was interrupted."""
    shop.gate.clear()
    by_default = refund_tool(shop)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(make_agent(by_default).attempt(calling(REFUND)))
        await shop.arrived.wait()
        dying.cancel()
    shop.gate.set()
    two = make_agent(by_default)
    assert "may have been done" in text_of(await two.attempt(calling(REFUND), by="try-2"))
    assert two.uses() == [("issue-refund", "unknown")]
    assert len(shop.requests) == 1


async def test_concurrent_attempts_write_once(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """The first attempt to record the step determines its calls."""
    other = msgspec.structs.replace(REFUND, arguments='{"order": "A-2"}')
    one, two = (make_agent(refund_tool(shop, idempotent=True)) for _ in range(2))
    both = await asyncio.gather(one.attempt(calling(REFUND), by="a"), two.attempt(calling(other), by="b"))
    assert sum(shop.refunds.values()) == 1
    assert text_of(both[0]) == text_of(both[1])


async def test_lost_reply_is_retried_under_the_same_key(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """Within one attempt."""
    shop.lose_replies = 1
    one = make_agent(refund_tool(shop, idempotent=True))
    assert "refund 1 of A-1" in text_of(await one.attempt(calling(REFUND)))
    assert (shop.refunds, len(shop.requests)) == ({"A-1": 1}, 2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ('{"order": 7}', "$.order: 7 is not of type 'string'"),
        ('{"order": "../admin"}', "$.order"),
        ('{"order": "A-1", "amount": 1}', "'amount' was unexpected"),
        ("{order}", "not JSON"),
        ('{"order": "gone"}', "refused with 404: no such order"),
    ],
)
async def test_invalid_call_is_a_failure_for_the_model(
    shop: Shop, make_agent: Callable[..., ToolAgent], call: str, error: str
) -> None:
    """Without a refund."""
    outcome = await make_agent(refund_tool(shop)).attempt(calling(msgspec.structs.replace(REFUND, arguments=call)))
    assert error in text_of(outcome)
    assert not shop.refunds


async def test_unreachable_or_unknown_tool_is_a_failure_for_the_model(make_agent: Callable[..., ToolAgent]) -> None:
    """The turn continues."""
    down = Tool(
        name="issue-refund", description="d", url="http://127.0.0.1:1/", parameters=SCHEMA, writes=True, unbound=True
    )
    unknown = ToolCall(id="call-2", name="delete-everything", arguments="{}")
    outcome = text_of(await make_agent(down).attempt(calling(REFUND, unknown)))
    assert "issue-refund cannot be reached | there is no tool 'delete-everything'" in outcome


async def test_read_only_tool_needs_no_idempotency_key(shop: Shop, make_agent: Callable[..., ToolAgent]) -> None:
    """Arguments without a placeholder in the path go into the query."""
    status = Tool(
        name="order-status", description="d", method="GET", url=f"{shop.url}/orders/{{order}}", parameters=SCHEMA
    )
    call = msgspec.structs.replace(REFUND, name="order-status")
    assert "shipped" in text_of(await make_agent(status).attempt(calling(call)))
    method, path, headers, _ = shop.requests[0]
    assert (method, path) == ("GET", "/orders/A-1?reason=charged+twice")
    assert "Idempotency-Key" not in headers


async def test_built_in_tools_transfer_and_search(make_agent: Callable[..., ToolAgent]) -> None:
    """Handoff and escalation end the loop with the model's arguments; an invalid target is a failure."""
    handoff = ToolCall(id="1", name="handoff", arguments='{"specialty": "technical", "reason": "wifi"}')
    outcome = await make_agent().attempt(calling(handoff))
    assert isinstance(outcome, Transfer)
    assert (outcome.name, outcome.arguments) == ("handoff", {"specialty": "technical", "reason": "wifi"})
    assert (outcome.completion.model, outcome.completion.usage.cost) == ("m", 1.0)
    escalation = ToolCall(id="1", name="escalate", arguments='{"urgency": "high", "reason": "angry"}')
    outcome = await make_agent().attempt(calling(escalation))
    assert isinstance(outcome, Transfer)
    assert (outcome.name, outcome.arguments) == ("escalate", {"urgency": "high", "reason": "angry"})
    invalid = ToolCall(id="1", name="handoff", arguments='{"specialty": "marketing", "reason": "x"}')
    assert "'marketing' is not one of ['technical']" in text_of(await make_agent().attempt(calling(invalid)))

    async def search(arguments: dict[str, Any]) -> str:
        return f"searched for {arguments['query']}"

    query = ToolCall(id="1", name="search_knowledge", arguments='{"query": "refunds"}')
    assert (
        text_of(await make_agent().attempt(calling(query), built_in={"search_knowledge": search}))
        == "searched for refunds"
    )


async def test_number_of_steps_is_limited(make_agent: Callable[..., ToolAgent]) -> None:
    """The model is told to answer; if it does not, the turn is refused."""

    def endless(request: Complete) -> Completed:
        return answer("", [ToolCall(id=str(len(request.tool_steps)), name="nonsense", arguments="{}")])

    one = make_agent()
    outcome = await one.attempt(endless)
    assert isinstance(outcome, Refused)
    assert outcome.code == "tools"
    assert one.model is not None
    last = one.model.completions[-1].tool_steps
    assert len(last) == MAX_STEPS + 1
    (outcome_of_call,) = last[0].outcomes
    assert outcome_of_call == ToolOutcome(id="0", text=outcome_of_call.text, failed=True, ms=outcome_of_call.ms)
    assert one.uses() == [("nonsense", "failed")] * (MAX_STEPS + 1)


async def test_tools_of_an_mcp_server_are_offered(make_agent: Callable[..., ToolAgent], tmp_path: Path) -> None:
    """Only the allowed ones; an error is a failure for the model, and an unavailable server is omitted."""
    (tmp_path / "stock.py").write_text(MCP_SERVER)
    command = [sys.executable, str(tmp_path / "stock.py")]
    stock = Tool(name="stock", description="d", kind="mcp", command=command, allow=["in_stock"], timeout_s=30.0)
    gone = Tool(name="gone", description="d", kind="mcp", command=["/no/such/server"], timeout_s=30.0)
    one = make_agent(stock, gone, environment=Environment(mcp_commands=[command, ["/no/such/server"]]))
    calls = [
        ToolCall(id="1", name="stock__in_stock", arguments='{"item": "lamp"}'),
        ToolCall(id="2", name="stock__in_stock", arguments='{"item": "ghost"}'),
        ToolCall(id="3", name="stock__in_stock", arguments="{}"),
        ToolCall(id="4", name="stock__sell_all", arguments="{}"),
    ]
    outcomes = text_of(await one.attempt(calling(*calls))).split(" | ")
    assert outcomes[0] == "7 of lamp"
    assert "in_stock" in outcomes[1]  # the package does not pass on the reason
    assert "'item' is a required property" in outcomes[2]
    assert "there is no tool 'stock__sell_all'" in outcomes[3]
