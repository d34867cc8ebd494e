"""Tools: checked, carried out once, and never the end of a turn."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trunkline_agents.adapters.http_tools import HttpTools
from trunkline_agents.adapters.mcp_tools import McpTools
from trunkline_agents.adapters.tool_ledger import KvToolLedger
from trunkline_agents.application.tool_loop import BuiltIn, Decision, Outcome, ToolLoop, ToolLoopResult
from trunkline_agents.core.tools import MOST_STEPS
from trunkline_chassis.bus import Bus
from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete, Completed, CompletionReply, ToolCall, ToolOutcome
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent, Company, Fleet, KnowledgeFilter, Tool
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.knowledge import Refused
from trunkline_protocols.turn import AnswerTurn

from tests.support.shop import Shop, serve_shop

pytestmark = pytest.mark.processes

Model = Callable[[Complete], Completed]
"""Decides what the model says to an order."""

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
    """How many there are."""
    if item == "ghost":
        raise ValueError("no such item")
    return f"7 of {item}"


@server.tool()
def sell_all() -> str:
    """Dangerous."""
    return "sold"


server.run("stdio")
'''


def answer(text: str = "Done.", calls: list[ToolCall] | None = None) -> Completed:
    return Completed(
        text=text,
        provider="p",
        model="m",
        tool_calls=calls or [],
        usage=Usage(input_tokens=10, output_tokens=1, cost=1.0),
    )


def asks_once(*calls: ToolCall) -> Model:
    """A model that asks for these calls and then answers with what came of them."""

    def model(order: Complete) -> Completed:
        if not order.tool_steps:
            return answer("One moment.", list(calls))
        return answer(" | ".join(outcome.text for outcome in order.tool_steps[-1].outcomes))

    return model


class Colleagues:
    """The gateway as far as these tests need one: a model that is a function."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.orders: list[Complete] = []

    async def complete(self, order: Complete) -> CompletionReply:
        self.orders.append(order)
        return self._model(order)


class Desk:
    """An agent with tools, over a real journal."""

    def __init__(self, bus: Bus, tools: list[Tool], turn: str) -> None:
        self._bus = bus
        self._turn = turn
        names = ["search_knowledge", "consult", "escalate", "handoff", *(tool.name for tool in tools)]
        self._agent = Agent(
            name="billing-refunds",
            specialty="billing",
            title="refunds specialist",
            description="refunds",
            tone="kind",
            hand_off_to=["technical"],
            examples=["x"] * 10,
            knowledge=KnowledgeFilter(topics=["refunds"]),
            consult=["technical"],
            tools=names,
        )
        line = "x"
        company = Company(name=line, description=line, greeting=line, clarify=line, abstain=line, examples=[line])
        self._fleet = Fleet(company=company, agents=[self._agent], tools=tools)
        self._http = HttpTools(lambda name: f"secret of {name}")
        self.colleagues: Colleagues | None = None
        self.worked: ToolLoopResult | None = None

    async def work(self, model: Model, *, by: str = "try-1", built_in: dict[str, BuiltIn] | None = None) -> Outcome:
        """One try at the turn."""
        self.colleagues = Colleagues(model)
        toolbox = ToolLoop(self.colleagues, KvToolLedger(self._bus), {"http": self._http, "mcp": McpTools()})  # type: ignore[arg-type]
        self.worked = await toolbox.work(
            self._order(),
            fleet=self._fleet,
            agent=self._agent,
            base=Complete(instructions="i", text="q"),
            by=by,
            built_in=built_in or {},
            passages=[],
        )
        return self.worked.outcome

    def uses(self) -> list[tuple[str, str]]:
        """What the last try tells of its calls."""
        assert self.worked is not None
        return [(use.tool, use.outcome) for use in self.worked.uses]

    def _order(self) -> AnswerTurn:
        context = Context(tenant="default", region="local", locale="en", transcript=[])
        return AnswerTurn(
            ref=TurnRef(conversation=ConversationId("c1"), turn=TurnId(self._turn), attempt=1, hop=0, epoch=0),
            specialty=Specialty("billing"),
            agent="billing-refunds",
            text="refund me",
            context=context,
            reply_to=Instance("conversation-1"),
            ingress=Instance("ingress-1"),
            dispatched_at=0.0,
            deadline_at=0.0,
        )

    async def close(self) -> None:
        await self._http.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """An API that counts."""
    async with serve_shop() as shop:
        yield shop


@pytest.fixture
async def desk(bus: Bus) -> AsyncIterator[Callable[..., Desk]]:
    """Agents with tools; each test has a turn of its own."""
    turn = f"c{time.monotonic_ns()}-1"
    made: list[Desk] = []

    def make(*tools: Tool) -> Desk:
        made.append(Desk(bus, list(tools), turn))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def refund_tool(shop: Shop, **changes: Any) -> Tool:
    tool = Tool(
        name="issue-refund",
        description="Refund an order",
        url=f"{shop.url}/orders/{{order}}/refunds",
        parameters=SCHEMA,
        writes=True,
        secret="shop-key",
    )
    return msgspec.structs.replace(tool, **changes)


def texts(outcome: Outcome) -> str:
    assert isinstance(outcome, Completed), outcome
    return outcome.text


async def test_tool_is_called_as_it_is_declared(shop: Shop, desk: Callable[..., Desk]) -> None:
    """Arguments in path and body, the secret as bearer token, the key of the turn; usage is that of all steps."""
    one = desk(refund_tool(shop))
    outcome = await one.work(asks_once(REFUND))
    assert texts(outcome) == '{"refund": "refund 1 of A-1"}'
    assert one.worked is not None
    (use,) = one.worked.uses
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


async def test_redelivered_turn_does_not_write_again(shop: Shop, desk: Callable[..., Desk]) -> None:
    """What was done is told to the model of the next try, whatever that one would have asked for itself."""
    one = desk(refund_tool(shop, idempotent=False))
    await one.work(asks_once(REFUND))
    other = msgspec.structs.replace(REFUND, id="x", arguments='{"order": "A-2"}')
    first = one.worked
    assert texts(await one.work(asks_once(other), by="try-2")) == '{"refund": "refund 1 of A-1"}'
    assert shop.refunds == {"A-1": 1}
    assert first is not None
    assert one.worked is not None
    assert one.worked.uses == first.uses


async def test_try_that_was_killed_in_mid_call_is_finished_by_the_next(shop: Shop, desk: Callable[..., Desk]) -> None:
    """Under the same key: the refund is made once, and its outcome is known."""
    shop.gate.clear()
    one = desk(refund_tool(shop))
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(one.work(asks_once(REFUND)))
        await shop.arrived.wait()
        dying.cancel()
    shop.gate.set()
    assert texts(await desk(refund_tool(shop)).work(asks_once(REFUND), by="try-2")) == '{"refund": "refund 1 of A-1"}'
    assert shop.refunds == {"A-1": 1}
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in shop.requests}) == 1
    assert len(shop.requests) == 2


async def test_server_without_a_memory_for_keys_is_not_asked_twice(shop: Shop, desk: Callable[..., Desk]) -> None:
    """When the end of an earlier try is unknown, the model is told so."""
    shop.gate.clear()
    forgetful = refund_tool(shop, idempotent=False)
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(desk(forgetful).work(asks_once(REFUND)))
        await shop.arrived.wait()
        dying.cancel()
    shop.gate.set()
    two = desk(forgetful)
    assert "may have been done" in texts(await two.work(asks_once(REFUND), by="try-2"))
    assert two.uses() == [("issue-refund", "unknown")]
    assert len(shop.requests) == 1


async def test_two_agents_at_the_same_turn_write_once(shop: Shop, desk: Callable[..., Desk]) -> None:
    """One was thought dead and is not: who notes the step first decides what it is."""
    other = msgspec.structs.replace(REFUND, arguments='{"order": "A-2"}')
    one, two = desk(refund_tool(shop)), desk(refund_tool(shop))
    both = await asyncio.gather(one.work(asks_once(REFUND), by="a"), two.work(asks_once(other), by="b"))
    assert sum(shop.refunds.values()) == 1
    assert texts(both[0]) == texts(both[1])


async def test_lost_answer_is_asked_for_again_under_the_same_key(shop: Shop, desk: Callable[..., Desk]) -> None:
    """Within one try."""
    shop.lose_replies = 1
    assert "refund 1 of A-1" in texts(await desk(refund_tool(shop)).work(asks_once(REFUND)))
    assert (shop.refunds, len(shop.requests)) == ({"A-1": 1}, 2)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('{"order": 7}', "$.order: 7 is not of type 'string'"),
        ('{"order": "../admin"}', "$.order"),
        ('{"order": "A-1", "amount": 1}', "'amount' was unexpected"),
        ("{order}", "not JSON"),
        ('{"order": "gone"}', "refused with 404: no such order"),
    ],
)
async def test_wrong_call_is_told_to_the_model(shop: Shop, desk: Callable[..., Desk], call: str, told: str) -> None:
    """And money stays where it is."""
    outcome = await desk(refund_tool(shop)).work(asks_once(msgspec.structs.replace(REFUND, arguments=call)))
    assert told in texts(outcome)
    assert not shop.refunds


async def test_tool_that_is_down_or_unknown_is_an_answer(desk: Callable[..., Desk]) -> None:
    """The turn goes on."""
    down = Tool(name="issue-refund", description="d", url="http://127.0.0.1:1/", parameters=SCHEMA, writes=True)
    unknown = ToolCall(id="call-2", name="delete-everything", arguments="{}")
    outcome = texts(await desk(down).work(asks_once(REFUND, unknown)))
    assert "issue-refund cannot be reached | there is no tool 'delete-everything'" in outcome


async def test_reading_tool_needs_no_note_and_no_key(shop: Shop, desk: Callable[..., Desk]) -> None:
    """Arguments that have no place in the path go into the query."""
    status = Tool(
        name="order-status", description="d", method="GET", url=f"{shop.url}/orders/{{order}}", parameters=SCHEMA
    )
    call = msgspec.structs.replace(REFUND, name="order-status")
    assert "shipped" in texts(await desk(status).work(asks_once(call)))
    method, path, headers, _ = shop.requests[0]
    assert (method, path) == ("GET", "/orders/A-1?reason=charged+twice")
    assert "Idempotency-Key" not in headers


async def test_protocols_of_the_fleet_are_tools(desk: Callable[..., Desk]) -> None:
    """Handoff and escalation end the work with what the model gave; a wrong target is answered."""
    away = ToolCall(id="1", name="handoff", arguments='{"specialty": "technical", "reason": "wifi"}')
    outcome = await desk().work(asks_once(away))
    assert outcome == Decision("handoff", {"specialty": "technical", "reason": "wifi"})
    up = ToolCall(id="1", name="escalate", arguments='{"urgency": "high", "reason": "angry"}')
    assert await desk().work(asks_once(up)) == Decision("escalate", {"urgency": "high", "reason": "angry"})
    wrong = ToolCall(id="1", name="handoff", arguments='{"specialty": "marketing", "reason": "x"}')
    assert "'marketing' is not one of ['technical']" in texts(await desk().work(asks_once(wrong)))

    async def search(given: dict[str, Any]) -> str:
        return f"looked for {given['query']}"

    look = ToolCall(id="1", name="search_knowledge", arguments='{"query": "refunds"}')
    assert texts(await desk().work(asks_once(look), built_in={"search_knowledge": search})) == "looked for refunds"


async def test_model_that_never_stops_asking_is_stopped(desk: Callable[..., Desk]) -> None:
    """It is told to answer, and then given up."""

    def endless(order: Complete) -> Completed:
        return answer("", [ToolCall(id=str(len(order.tool_steps)), name="nonsense", arguments="{}")])

    one = desk()
    outcome = await one.work(endless)
    assert isinstance(outcome, Refused)
    assert outcome.code == "tools"
    assert one.colleagues is not None
    last = one.colleagues.orders[-1].tool_steps
    assert len(last) == MOST_STEPS + 1
    (told,) = last[0].outcomes
    assert told == ToolOutcome(id="0", text=told.text, failed=True, ms=told.ms)
    assert one.uses() == [("nonsense", "failed")] * (MOST_STEPS + 1)


async def test_mcp_server_lends_its_tools(desk: Callable[..., Desk], tmp_path: Path) -> None:
    """Those that are allowed; its failure is an answer, and a server that is gone is left out."""
    (tmp_path / "stock.py").write_text(MCP_SERVER)
    command = [sys.executable, str(tmp_path / "stock.py")]
    stock = Tool(name="stock", description="d", kind="mcp", command=command, allow=["in_stock"], timeout_s=30.0)
    gone = Tool(name="gone", description="d", kind="mcp", command=["/no/such/server"], timeout_s=30.0)
    one = desk(stock, gone)
    asked = [
        ToolCall(id="1", name="stock__in_stock", arguments='{"item": "lamp"}'),
        ToolCall(id="2", name="stock__in_stock", arguments='{"item": "ghost"}'),
        ToolCall(id="3", name="stock__in_stock", arguments="{}"),
        ToolCall(id="4", name="stock__sell_all", arguments="{}"),
    ]
    said = texts(await one.work(asks_once(*asked))).split(" | ")
    assert said[0] == "7 of lamp"
    assert "in_stock" in said[1]  # the package keeps what went wrong to itself
    assert "'item' is a required property" in said[2]
    assert "there is no tool 'stock__sell_all'" in said[3]
