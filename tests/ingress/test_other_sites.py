"""Customers of a region with another site get its address, or the message that it cannot be reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError
from trunkline_ingress.adapters.other_sites import OtherSites
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign
from trunkline_ingress.handlers.frame_errors import at_other_site, overloaded
from trunkline_ingress.ports import Site
from trunkline_ingress.settings import IngressSettings
from trunkline_protocols.ids import ConversationId

from tests.ingress.edge_server import SECRET, edge
from tests.support.http_server import serve_http
from tests.support.suite import wait_until

START = {"type": "start", "customer": "ada"}


@asynccontextmanager
async def other_site(status: list[int]) -> AsyncIterator[str]:
    """Run a site whose readiness has the last status of a list."""

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({}, status=status[-1])

    async with serve_http([web.get("/readyz", readyz)]) as url:
        yield url


async def first_frame(url: str, frame: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to the first frame of a socket."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/v1/chat") as socket:
        await socket.send_json(frame)
        received: dict[str, Any] = await socket.receive_json(timeout=30)
        return received


def resume_of(region: str, secret: bytes = SECRET) -> dict[str, Any]:
    """Return the frame that resumes a conversation of a region."""
    identity = Identity(
        conversation=ConversationId("c1"), customer="ada", tenant="default", region=region, channel="web", locale="en"
    )
    token = sign(identity, secret, expires_at=time.time() + 60)
    return {"type": "resume", "conversation": "c1", "resume_token": token, "last_seq": 1}


async def test_customer_at_the_wrong_site_gets_the_address_of_its_own() -> None:
    """A start and a resume; a region without a site is refused as before."""
    sites = OtherSites({"us": "https://us.example", "local": "https://eu.example"}, "local")
    async with edge(sites=sites) as url:
        for frame in (START | {"region": "us"}, resume_of("us")):
            error = await first_frame(url, frame)
            assert (error["code"], error["site"], error["retryable"]) == ("wrong_region", "https://us.example", False)
            assert "https://us.example" in error["message"]
        assert (await first_frame(url, START | {"region": "mars"}))["code"] == "bad_frame"
        assert (await first_frame(url, START))["type"] == "started"


async def test_forged_resume_token_learns_no_region() -> None:
    """An invalid token is answered as it is without sites."""
    async with edge(sites=OtherSites({"us": "https://us.example"}, "local")) as url:
        error = await first_frame(url, resume_of("us", b"x" * 32))
        assert error["code"] == "unauthorized"
        assert "site" not in error


async def test_customers_of_a_lost_site_are_told_until_it_returns() -> None:
    """A site that is not ready, then one that is."""
    status = [503]
    async with other_site(status) as theirs, asyncio.TaskGroup() as tasks:
        sites = OtherSites({"us": theirs}, "local")
        probing = tasks.create_task(sites.run())
        async with edge(sites=sites) as url:
            await asyncio.to_thread(wait_until, lambda: not is_reachable(sites), "the site is lost")
            error = await first_frame(url, START | {"region": "us"})
            assert (error["code"], error["site"], error["retryable"]) == ("unavailable", theirs, True)
            assert error["retry_after_s"] > 0
            assert "cannot be reached" in error["message"]
            status.append(200)
            await asyncio.to_thread(wait_until, lambda: is_reachable(sites), "the site is back")
            assert (await first_frame(url, START | {"region": "us"}))["code"] == "wrong_region"
        probing.cancel()


def test_repeated_starts_at_a_wrong_site_slow_a_socket_down() -> None:
    """As every refused frame, also while the site of the customer is lost; an overload is not the customer's fault."""
    for is_up in (True, False):
        assert at_other_site(Site("us", "https://us.example", is_reachable=is_up)).is_clients_fault
    assert not overloaded(1.0, id_="m1").is_clients_fault


def is_reachable(sites: OtherSites) -> bool:
    """Return whether the site of region us counts as reachable."""
    site = sites.find("us")
    assert site is not None
    return site.is_reachable


async def test_single_suite_probes_nothing() -> None:
    """Its own address may stand in the setting, so that all sites have the same one."""
    sites = OtherSites({"eu": "https://eu.example"}, "eu")
    await sites.run()
    assert sites.find("eu") is None


@pytest.mark.parametrize("url", ["us.example", "http://us.example", "https://", "https://us.example/?a=1", "ftp://x"])
def test_address_of_a_site_is_https(url: str) -> None:
    """Anything else would send customers to a place that nothing proves."""
    with pytest.raises(ValidationError, match=r"https"):
        IngressSettings(resume_secret="s" * 32, sites={"us": url})
