"""Two sites with a region each: conversations stay, each goes on alone, and customers of a lost one know."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest
from trunkline_protocols import streams

from tests.suite.sites import Site, two_sites, wait_for_link
from tests.support.customer import Customer
from tests.support.suite import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

QUESTION = "I was charged twice for my order, can I get a refund? My reference is {}"
CANARIES = {"eu": "zqwxeucanary7431", "us": "zqwxuscanary8852"}


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """Both sites; a test starts what it needs."""
    both = two_sites(tmp_path)
    try:
        yield both
    finally:
        await asyncio.gather(*(asyncio.to_thread(site.stop) for site in both))


async def error_of(url: str, frame: dict[str, Any]) -> dict[str, Any]:
    """Return the error that answers the first frame of a socket."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/chat", protocols=("trunkline.v1",)) as socket,
    ):
        await socket.send_json(frame)
        received: dict[str, Any] = await socket.receive_json(timeout=30)
        assert received["type"] == "error", received
        return received


async def until_error(url: str, frame: dict[str, Any], expected: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first error that is the expected one."""
    deadline = time.monotonic() + 60
    while not expected(error := await error_of(url, frame)):
        assert time.monotonic() < deadline, error
        await asyncio.sleep(0.2)
    return error


async def talk(customer: Customer, site: Site, id_: str) -> None:
    """Ask with the canary of a region, and get an answer of an agent."""
    answer = await customer.ask(id_, QUESTION.format(CANARIES[site.region]))
    assert answer["specialty"] == "billing"


async def require_working_jetstream(site: Site) -> None:
    """Check that all streams answer, and that a stream can be created, which needs a leader of the meta group."""
    client = await site.connect()
    try:
        context = client.jetstream(timeout=10)
        for stream in streams.STREAMS:
            info = await context.stream_info(stream.name)
            assert info.cluster is None or info.cluster.leader
            assert info.config.placement is not None
            assert info.config.placement.tags == [f"region:{site.region}"]
        await context.add_stream(name="PROBE", subjects=["probe"])
        await context.delete_stream("PROBE")
        assert (await context.stream_info(streams.VIOLATIONS.name)).state.messages == 0
    finally:
        await client.close()


async def test_link_between_sites_carries_no_message_of_trunkline(sites: tuple[Site, Site]) -> None:
    """The account SITES is joined; work, inbox and the API of streams of the other site are out of reach."""
    async with contextlib.AsyncExitStack() as stack:
        for site in sites:
            await asyncio.to_thread(site.start_nats)
        await asyncio.to_thread(wait_for_link, sites[1])
        users = {}
        for site in sites:
            for user in ("trunkline", "sites"):
                users[site.region, user] = client = await site.connect(user)
                stack.push_async_callback(client.close)
        crossed = await users["eu", "sites"].subscribe(">")
        stayed = await users["eu", "trunkline"].subscribe(">")
        await users["eu", "trunkline"].jetstream().add_stream(name="INBOX", subjects=["inbox.>"])
        async with asyncio.timeout(30):
            while not crossed.pending_msgs:  # the interest has reached the other site
                await users["us", "sites"].publish("probe", b"")
                await asyncio.sleep(0.05)
        before = stayed.pending_msgs
        for subject in ("work.billing.normal", "inbox.eu.1.c", "conv.eu.1.c.turn"):
            await users["us", "trunkline"].publish(subject, b"a message")
        with pytest.raises(nats.js.errors.NotFoundError):
            await users["us", "trunkline"].jetstream().stream_info("INBOX")
        with pytest.raises((nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError)):
            await users["us", "trunkline"].jetstream(domain="eu").stream_info("INBOX")
        # A later message over the link has arrived: the others would have too.
        count = crossed.pending_msgs
        async with asyncio.timeout(30):
            while crossed.pending_msgs <= count:
                await users["us", "sites"].publish("probe", b"")
                await asyncio.sleep(0.05)
        assert stayed.pending_msgs == before


@pytest.mark.long
async def test_site_goes_on_when_the_other_is_lost(sites: tuple[Site, Site]) -> None:
    """Conversations stay in their region; customers at the wrong site get an address, or that theirs is lost."""
    eu, us = sites
    with ThreadPoolExecutor(2) as threads:
        await asyncio.gather(*(asyncio.wrap_future(threads.submit(site.start)) for site in sites))
    await asyncio.to_thread(wait_for_link, us)
    async with Customer(eu.url, "ada") as ada, Customer(us.url, "bob") as bob:
        await asyncio.gather(ada.start(), bob.start())
        await asyncio.gather(talk(ada, eu, "m1"), talk(bob, us, "m1"))
        start = {"type": "start", "customer": "bob", "region": "us"}
        resume = {"type": "resume", "conversation": bob.conversation, "resume_token": bob.resume_token, "last_seq": 1}
        await until_error(eu.url, start, lambda error: error["code"] == "wrong_region")  # it has started meanwhile
        for frame in (start, resume):
            error = await error_of(eu.url, frame)
            assert (error["code"], error["site"], error["retryable"]) == ("wrong_region", us.url, False)

        await asyncio.to_thread(us.lose)
        await until_error(eu.url, start, lambda error: error["code"] == "unavailable")
        for frame in (start, resume):
            error = await error_of(eu.url, frame)
            assert (error["code"], error["site"], error["retryable"]) == ("unavailable", us.url, True)
            assert "cannot be reached" in error["message"]
        await talk(ada, eu, "m2")
        await require_working_jetstream(eu)
        async with Customer(eu.url, "eve") as eve:  # and new conversations
            await eve.start()
            await talk(eve, eu, "m1")

        await asyncio.to_thread(us.start)
        await until_error(eu.url, start, lambda error: error["code"] == "wrong_region")
        assert (await bob.resume())["recovered"]
        await talk(bob, us, "m2")
        await require_working_jetstream(us)
    for here, there in ((eu, us), (us, eu)):
        await asyncio.to_thread(wait_until, partial(here.holds, CANARIES[here.region]), "the canary is stored")
        assert not await asyncio.to_thread(there.holds, CANARIES[here.region])
