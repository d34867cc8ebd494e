"""Borders of the agents: work, facts and tools of another region."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from trunkline_agents.application.request_clock import RequestClock
from trunkline_agents.application.work_admission import WorkAdmission
from trunkline_agents.handlers import WorkHandler
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Done
from trunkline_chassis.latency import RecentLatency
from trunkline_protocols import codec
from trunkline_protocols.customers import ReadCustomer
from trunkline_protocols.fleet import Tool
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolCall
from trunkline_protocols.turn import AnswerTurn

from tests.agents.builders import make_request
from tests.agents.test_consultations import make_consult
from tests.agents.test_customer_reader import Process
from tests.agents.tool_agent import Environment, ToolAgent, calling
from tests.support.account_shop import AccountShop, serve_accounts
from tests.support.borders import ListedBorders


def handler(borders: ListedBorders) -> WorkHandler:
    """Return a handler whose collaborators fail at any use."""
    nothing: Any = None
    return WorkHandler(
        sink=nothing,
        worker=nothing,
        advisor=nothing,
        routing=nothing,
        heartbeat=nothing,
        concurrency=1,
        latency=RecentLatency(),
        admission=WorkAdmission(borders, RequestClock(nothing)),
    )


@pytest.mark.parametrize("border", ["work", "handoff", "consultation"])
async def test_work_of_another_region_is_neither_claimed_nor_answered(border: str) -> None:
    """It is acknowledged: its own region retries what gets no result."""
    context = msgspec.structs.replace(make_request("").context, region="us")
    message: Any = (
        make_consult(context=context)
        if border == "consultation"
        else make_request("hello", context=context, hop=int(border == "handoff"))
    )
    borders = ListedBorders()
    delivery: Any = SimpleNamespace(payload=codec.encode(message), traceparent="", stored_at=0.0)
    assert await handler(borders).handle(delivery) == Done()
    assert borders.refused == [(border, "us", "local")]


async def test_work_without_a_region_is_refused() -> None:
    """Nothing says that it may be here."""
    request: AnswerTurn = make_request("hello", hop=0)
    request = msgspec.structs.replace(request, context=msgspec.structs.replace(request.context, region=""))
    borders = ListedBorders()
    delivery: Any = SimpleNamespace(payload=codec.encode(request), traceparent="", stored_at=0.0)
    assert await handler(borders).handle(delivery) == Done()
    assert borders.refused == [("work", "", "local")]


@pytest.mark.processes
async def test_tool_of_other_regions_is_not_called(bus: Bus) -> None:
    """The model learns that it is not available, and the turn goes on; a tool of this region is called."""
    async with serve_accounts() as shop:
        borders = ListedBorders()
        tool = Tool(name="refund", description="d", method="GET", url=f"{shop.url}/nothing", regions=["us", "eu"])
        agent = ToolAgent(bus, [tool], "c1-residency", Environment(), borders)
        await agent.attempt(calling(ToolCall(id="1", name="refund", arguments="{}")))
        assert borders.refused == [("tool", "local", "eu")]
        assert agent.uses() == [("refund", "failed")]
        await agent.close()


@pytest.mark.processes
async def test_facts_about_customers_of_another_region_are_not_read(bus: Bus) -> None:
    """Neither from here for them, nor by a reader of another region for a customer from here."""
    shop: AccountShop
    async with serve_accounts() as shop:
        abroad = Process(bus, [msgspec.structs.replace(shop.reader(), regions=["us"])])
        reply = await abroad.reader.read(ReadCustomer(tenant="default", region="us", customer="zoe"))
        assert isinstance(reply, Refused)
        known = await abroad.read("customer-residency")
        assert known.facts == []
        assert {reading.failure for reading in known.readings.values()} == {"refused"}
        assert abroad.borders.refused == [("customer", "us", "local"), ("customer", "local", "us")]
