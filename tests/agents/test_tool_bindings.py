"""Tools act for the customer of the turn: bindings, limits, addresses, secrets, and schemas of hostile servers."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from trunkline_agents.adapters.schema_checker import ProcessSchemaChecker
from trunkline_agents.core.tool_paths import call_url
from trunkline_agents.core.tools import ArgumentsError
from trunkline_agents.ports import ToolError
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.fleet import DEFAULT_DAILY_LIMIT, Tool
from trunkline_protocols.tool_steps import ToolCall

from tests.agents.tool_agent import CONTEXT, Environment, ToolAgent, answer, calling, text_of
from tests.support.http_server import serve_http
from tests.support.shop import Shop

pytestmark = pytest.mark.processes

MakeAgent = Callable[..., ToolAgent]
SCHEMA = {
    "type": "object",
    "properties": {"customer": {"type": "string"}, "tenant": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["customer", "amount"],
}
MCP_SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("crm")


@server.tool()
def add_note(customer: str, note: str) -> str:
    """Add a note to a customer."""
    return f"{note} for {customer}"


@server.tool()
def drop_everything() -> str:
    """Has no argument that could be bound."""
    return "dropped"


server.run("stdio")
'''


def credit_tool(shop: Shop, **changes: Any) -> Tool:
    tool = Tool(
        name="give-credit",
        description="Give the customer a credit",
        url=f"{shop.url}/customers/{{customer}}/credits",
        parameters=SCHEMA,
        writes=True,
        bind={"customer": "customer.sub", "tenant": "customer.tenant"},
    )
    return msgspec.structs.replace(tool, **changes)


def credit(arguments: str = '{"amount": 5}', id_: str = "1") -> ToolCall:
    return ToolCall(id=id_, name="give-credit", arguments=arguments)


def dropped() -> float:
    value = REGISTRY.get_sample_value("trunkline_tool_bound_arguments_dropped_total", {"tool": "give-credit"})
    return value or 0.0


# -- bound arguments ---


async def test_bound_argument_is_hidden_filled_and_dropped(shop: Shop, make_agent: MakeAgent) -> None:
    """The model sees `amount` alone; its value for `customer` is counted, and the shop sees the claim."""
    one = make_agent(credit_tool(shop))
    before = dropped()
    await one.attempt(calling(credit('{"amount": 5, "customer": "bob", "tenant": "x"}')))
    assert one.model is not None
    (spec,) = [tool for tool in one.model.completions[0].tools if tool.name == "give-credit"]
    assert spec.parameters["properties"] == {"amount": {"type": "number"}}
    assert spec.parameters["required"] == ["amount"]
    ((_, path, _, body),) = shop.requests
    assert (path, body) == ("/customers/ada/credits", {"amount": 5, "tenant": "default"})
    assert dropped() == before + 2


@pytest.mark.parametrize("name", ["Customer", "customer ", "customer[]", "customer.sub", "cust\\u043emer"])
async def test_argument_with_a_similar_name_is_refused(shop: Shop, make_agent: MakeAgent, name: str) -> None:
    """A server may read names more generously than this project does."""
    outcome = await make_agent(credit_tool(shop)).attempt(calling(credit(f'{{"amount": 5, "{name}": "bob"}}')))
    assert "unexpected" in text_of(outcome)
    assert not shop.requests


async def test_tool_is_refused_if_the_customer_lacks_the_claim(shop: Shop, make_agent: MakeAgent) -> None:
    one = make_agent(credit_tool(shop, bind={"customer": "customer.sub", "tenant": "customer.tier"}))
    one.context = msgspec.structs.replace(CONTEXT, tier="")
    assert "needs customer.tier" in text_of(await one.attempt(calling(credit())))
    assert not shop.requests


async def test_writing_tool_without_binding_is_not_offered(shop: Shop, make_agent: MakeAgent) -> None:
    """Not even from a version of the fleet that was published before the rule."""
    one = make_agent(credit_tool(shop, bind={}))
    assert "there is no tool 'give-credit'" in text_of(await one.attempt(calling(credit())))
    assert not shop.requests


async def test_mcp_tools_are_bound_or_not_offered(make_agent: MakeAgent, tmp_path: Path) -> None:
    """A tool of the server without the bound argument could act for any customer."""
    (tmp_path / "crm.py").write_text(MCP_SERVER)
    command = [sys.executable, str(tmp_path / "crm.py")]
    crm = Tool(
        name="crm",
        description="d",
        kind="mcp",
        command=command,
        timeout_s=30.0,
        writes=True,
        bind={"customer": "customer.sub"},
    )
    calls = [
        ToolCall(id="1", name="crm__add_note", arguments='{"note": "hi", "customer": "bob"}'),
        ToolCall(id="2", name="crm__drop_everything", arguments="{}"),
    ]
    one = make_agent(crm, environment=Environment(mcp_commands=[command]))
    outcomes = text_of(await one.attempt(calling(*calls))).split(" | ")
    assert outcomes[0] == "hi for ada"
    assert "there is no tool 'crm__drop_everything'" in outcomes[1]


# -- limits ---


def steps(*calls: ToolCall) -> Callable[[Complete], Completed]:
    """Return a script that makes one call per step and then answers with the last outcome."""

    def script(request: Complete) -> Completed:
        if len(request.tool_steps) < len(calls):
            return answer("", [calls[len(request.tool_steps)]])
        return answer(request.tool_steps[-1].outcomes[0].text)

    return script


async def test_calls_per_customer_and_day_are_limited(shop: Shop, make_agent: MakeAgent) -> None:
    """Across turns and processes; another customer, and the next day, have a limit of their own."""
    clock = [time.time()]
    tool = credit_tool(shop, daily_limit=2, bind={"customer": "customer.sub"})
    agents = [make_agent(tool, environment=Environment(now=lambda: clock[0])) for _ in range(2)]
    customer = f"eve-{time.monotonic_ns()}"
    for one in agents:
        one.context = msgspec.structs.replace(CONTEXT, customer=customer)
    texts = [
        text_of(await agents[number % 2].attempt(calling(credit()), turn=f"{customer}-{number}")) for number in range(3)
    ]
    assert "limit of 2 calls" in texts[2]
    assert len(shop.requests) == 2
    agents[0].context = CONTEXT
    await agents[0].attempt(calling(credit()), turn=f"{customer}-4")
    assert len(shop.requests) == 3
    clock[0] += 86_400
    await agents[1].attempt(calling(credit()), turn=f"{customer}-5")
    assert len(shop.requests) == 4


async def test_concurrent_calls_do_not_exceed_the_limit(shop: Shop, make_agent: MakeAgent) -> None:
    """Ten calls at once, of which three are admitted."""
    one = make_agent(credit_tool(shop, daily_limit=3))
    one.context = msgspec.structs.replace(CONTEXT, customer=f"eve-{time.monotonic_ns()}")
    await one.attempt(calling(*(credit(id_=str(number)) for number in range(10))))
    assert len(shop.requests) == 3


async def test_retried_call_is_counted_once(shop: Shop, make_agent: MakeAgent) -> None:
    """A second attempt at the same turn repeats the call under the same key."""
    shop.gate.clear()
    tool = credit_tool(shop, daily_limit=1)
    context = msgspec.structs.replace(CONTEXT, customer=f"eve-{time.monotonic_ns()}")
    one, two = make_agent(tool), make_agent(tool)
    one.context = two.context = context
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(one.attempt(calling(credit())))
        await shop.arrived.wait()
        dying.cancel()
    shop.gate.set()
    assert "limit" not in text_of(await two.attempt(calling(credit()), by="try-2"))


def test_writing_tool_has_a_limit_by_default() -> None:
    tool = Tool(name="t", description="d", url="http://shop.example/", writes=True, unbound=True)
    assert tool.calls_per_day == DEFAULT_DAILY_LIMIT
    assert msgspec.structs.replace(tool, writes=False).calls_per_day is None


# -- addresses, answers, secrets, cookies ---


@pytest.mark.parametrize(
    "order",
    [".", "..", "../admin", "%2e%2e", "%252e%252e", "a/../b", "..\\admin", "..;x", " .. ", "", " ", None, True, ["a"]],
)
def test_path_argument_that_leaves_its_place_is_refused(order: object) -> None:
    tool = Tool(name="t", description="d", url="https://shop.example/orders/{order}/refunds")
    with pytest.raises(ArgumentsError):
        call_url(tool, {"order": order})


def test_two_arguments_cannot_form_dots_together() -> None:
    tool = Tool(name="t", description="d", url="https://shop.example/files/.{a}/x")
    with pytest.raises(ArgumentsError):
        call_url(tool, {"a": "."})
    assert call_url(tool, {"a": "b/c?d"}) == ("https://shop.example/files/.b%2Fc%3Fd/x", {})


@asynccontextmanager
async def serve(handler: Callable[[web.Request], Any], path: str = "/{tail:.*}") -> AsyncIterator[str]:
    """Serve one handler on a free port."""
    async with serve_http([web.route("*", path, handler)], cancels_handlers=False) as url:
        yield url


def read_tool(url: str, **changes: Any) -> Tool:
    return msgspec.structs.replace(Tool(name="look", description="d", method="GET", url=f"{url}/stock"), **changes)


LOOK = ToolCall(id="1", name="look", arguments="{}")


async def test_answer_in_several_chunks_is_read_whole(make_agent: MakeAgent) -> None:
    """The second chunk is sent after the client has received the first."""

    async def stock(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"stock": 1')
        await asyncio.sleep(0.1)
        await response.write(b"7}")
        return response

    async with serve(stock) as url:
        assert text_of(await make_agent(read_tool(url)).attempt(calling(LOOK))) == '{"stock": 17}'


async def test_cookie_is_not_sent_again(make_agent: MakeAgent) -> None:
    """The session of one customer at a tool must not be that of the next."""
    seen: list[str] = []

    async def stock(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie", ""))
        response = web.Response(text="ok")
        response.set_cookie("session", "ada")
        return response

    async with serve(stock) as url:
        # Cookies of a bare address are refused by default, so the name of this machine is used.
        one = make_agent(read_tool(url.replace("127.0.0.1", "localhost")))
        await one.attempt(steps(LOOK, LOOK))
    assert seen == ["", ""]


async def test_secret_is_sent_to_its_hosts_only(make_agent: MakeAgent) -> None:
    """A version of the fleet with another address gets the secret neither directly nor by a redirect."""
    seen: list[str] = []

    async def thief(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(text="thanks")

    async with serve(thief) as thief_url:

        async def honest(_: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(f"{thief_url}/stock")

        async with serve(honest) as url:
            hosts = {"shop-key": [url.removeprefix("http://")], "other-key": ["shop.example"]}
            environment = Environment(secret_hosts=hosts)
            for tool in (
                read_tool(thief_url, secret="shop-key"),
                read_tool(thief_url, secret="other-key"),
                read_tool(url, secret="shop-key"),
            ):
                text = text_of(await make_agent(tool, environment=environment).attempt(calling(LOOK)))
                assert "not bound to" in text or "refused with 307" in text
    assert not seen


async def test_mcp_server_over_http_receives_its_secret(make_agent: MakeAgent) -> None:
    """On every request; a server on another host does not."""
    seen: list[str] = []

    async def mcp(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=401)

    async with serve(mcp) as url:
        tool = Tool(name="crm", description="d", kind="mcp", url=f"{url}/mcp", secret="shop-key", timeout_s=20.0)
        await make_agent(tool).attempt(calling(LOOK))
        assert seen
        assert set(seen) == {"Bearer secret of shop-key"}
        seen.clear()
        await make_agent(tool, environment=Environment(secret_hosts={})).attempt(calling(LOOK))
        assert not seen


async def test_command_outside_the_allow_list_is_not_started(make_agent: MakeAgent, tmp_path: Path) -> None:
    """Nor one with other arguments than the permitted ones."""
    planted = tmp_path / "planted"
    allowed = [sys.executable, "-c", "pass"]
    tool = Tool(name="crm", description="d", kind="mcp", command=[sys.executable, "-c", f"open({str(planted)!r}, 'w')"])
    for commands in ([], [allowed], [[sys.executable]]):
        await make_agent(tool, environment=Environment(mcp_commands=commands)).attempt(calling(LOOK))
    assert not planted.exists()
    await make_agent(tool, environment=Environment(mcp_commands=[tool.command])).attempt(calling(LOOK))
    assert planted.exists()


# -- schemas ---


@pytest.fixture
async def checker() -> AsyncIterator[ProcessSchemaChecker]:
    """A checker with its process."""
    one = ProcessSchemaChecker()
    yield one
    await one.close()


async def test_schema_reads_nothing_over_the_network(checker: ProcessSchemaChecker) -> None:
    """A reference to an address is a violation, and the address sees no request."""
    seen: list[str] = []

    async def schema(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({})

    async with serve(schema) as url:
        reason = await checker.find_violation({"properties": {"a": {"$ref": f"{url}/x.json"}}}, {"a": 1})
    assert "which is not part of it" in reason
    assert not seen


async def test_endless_pattern_is_stopped_while_the_loop_runs(checker: ProcessSchemaChecker) -> None:
    """The check ends, other tasks run meanwhile, and the next check succeeds."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    hostile = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    with pytest.raises(ToolError, match="too long"):
        await checker.find_violation(hostile, {"a": "a" * 64 + "!"})
    ticking.cancel()
    assert ticks > 10
    assert not await checker.find_violation({"type": "object"}, {})


async def test_cancelled_check_does_not_answer_the_next(checker: ProcessSchemaChecker) -> None:
    """The reply that was not awaited is discarded with its process."""
    hostile = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await checker.find_violation(hostile, {"a": "a" * 64 + "!"})
    assert "is not of type" in await checker.find_violation({"properties": {"a": {"type": "string"}}}, {"a": 1})


async def test_schema_bombs_are_reported(checker: ProcessSchemaChecker) -> None:
    """Deep nesting, references that multiply, a schema that is no schema, and one that is too large."""
    nested: dict[str, Any] = {}
    for _ in range(400):
        nested = {"not": nested}
    multiplied = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(20)} | {"d20": {}}
    for schema in (nested, {"$defs": multiplied, "$ref": "#/$defs/d0"}, {"type": 7}):
        try:
            assert await checker.find_violation(schema, {"a": 1}) or schema is nested
        except ToolError as error:
            assert "too long" in str(error)  # noqa: PT017 - both a report and a stop are right
    with pytest.raises(ToolError, match="larger"):
        await checker.find_violation({"description": "x" * 100_000}, {})
