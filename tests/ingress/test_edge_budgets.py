"""What one customer, address or tenant may send to the edge in a time, over real sockets."""

from __future__ import annotations

import aiohttp
import pytest
from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.core.refusals import RecentRefusals
from trunkline_ingress.handlers.auth import Authenticator

from tests.ingress.edge_server import (
    START,
    Verifier,
    edge,
    errors_after,
    guard_of,
    open_socket,
    status,
)
from tests.ingress.guards import open_guard


async def test_forged_resumes_are_limited() -> None:
    """Every frame counts, before a conversation too."""
    forged = {"type": "resume", "conversation": "c1", "resume_token": "x.y", "last_seq": 0}
    async with open_socket(edge(open_guard(customer=Rate(0.01, 5)))) as socket:
        assert await errors_after(socket, [forged] * 8) == ["unauthorized"] * 5 + ["rate_limited"] * 3


async def test_requests_for_a_person_are_limited_like_messages() -> None:
    """The error names the request; before `start` it is refused."""
    request = {"type": "request_person", "id": "p1"}
    async with open_socket(edge(open_guard(customer=Rate(0.01, 2)))) as socket:
        for code in ("bad_frame", "bad_frame", "rate_limited"):
            await socket.send_json(request)
            answer = await socket.receive_json(timeout=10)
            assert (answer["code"], answer["id"]) == (code, "p1")


def test_socket_with_refused_frames_is_slowed_down_and_closed_at_last() -> None:
    """A client with few mistakes notices nothing, and refusals are forgotten."""
    refusals = RecentRefusals(0.0)
    assert [refusals.record(0.0) for _ in range(51)] == [0.0] * 10 + [1.0] * 20 + [5.0] * 20 + [None]
    assert refusals.record(120.0) == 0.0
    seldom = RecentRefusals(0.0)
    assert {seldom.record(now * 2.0) for now in range(500)} == {0.0}


async def test_flooding_socket_is_closed_and_does_not_delay_another_one() -> None:
    """The pause is the socket's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline_ingress.core.refusals._DELAYS_S", ((10, 0.0), (20, 0.01)))
        async with open_socket(edge(open_guard())) as socket:
            for _ in range(60):
                await socket.send_json({"type": "dance"})
            while (message := await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)
    async with edge() as url, aiohttp.ClientSession() as session:
        flooding, calm = [await session.ws_connect(f"{url}/v1/chat") for _ in range(2)]
        for _ in range(45):
            await flooding.send_json({"type": "dance"})
        assert await errors_after(calm, [START]) == ["started"]


async def test_customer_has_one_budget_on_all_sockets_and_touches_no_other() -> None:
    """With authentication; without it a name proves nothing, and each socket pays for itself."""
    bad = {"type": "dance"}
    guard = guard_of(customer=Rate(0.01, 6))
    async with edge(guard, authenticator=Authenticator(Verifier())) as url, aiohttp.ClientSession() as session:
        sockets = [
            await session.ws_connect(f"{url}/v1/chat", headers={"Authorization": f"Bearer {name}"})
            for name in ("ada", "ada", "bob")
        ]
        assert await errors_after(sockets[0], [bad] * 4) == ["bad_frame"] * 4
        assert await errors_after(sockets[1], [bad] * 4) == ["bad_frame"] * 2 + ["rate_limited"] * 2
        assert await errors_after(sockets[1], [START]) == ["rate_limited"]
        assert await errors_after(sockets[2], [{**START, "customer": "bob"}]) == ["started"]


async def test_requests_over_the_budget_of_an_address_are_answered_429() -> None:
    """With the time to wait; other addresses and unlimited ones are served."""
    guard = guard_of(address=Rate(0.1, 3), unlimited="5.5.5.5")
    async with edge(guard) as url, aiohttp.ClientSession() as session:
        for address, codes in (
            ("1.1.1.1", [200, 200, 200, 429, 429]),
            ("2.2.2.2", [200, 200, 200, 429]),
            ("5.5.5.5", [200] * 20),
        ):
            assert [await status(url, "/page", **{"X-Forwarded-For": address}) for _ in codes] == codes
        async with session.get(f"{url}/page", headers={"X-Forwarded-For": "1.1.1.1"}) as response:
            assert 0 < (await response.json())["retry_after_s"] <= 10
            assert 0 < int(response.headers["Retry-After"]) <= 10
        assert await status(url, "/healthz") == 200


def test_refused_frame_costs_none_of_its_payers() -> None:
    """Otherwise one customer could use up the budget of an address by frames that are refused."""
    budget = Budget({"customer": Rate(1, 1), "address": Rate(1, 2), "tenant": Rate(1, 1)})
    assert budget.charge({"customer": "a", "address": "x"}, 0.0) == 0
    for _ in range(10):
        assert budget.charge({"customer": "a", "address": "x"}, 0.0) == pytest.approx(1.0)
    assert budget.charge({"customer": "b", "address": "x"}, 0.0) == 0
    assert budget.charge({"customer": "c", "address": "x"}, 0.0) == pytest.approx(1.0)


def test_number_of_buckets_is_bounded() -> None:
    """Addresses are free for an attacker with many of them."""
    budget = Budget({"customer": Rate(1, 1), "address": Rate(1, 1), "tenant": Rate(1, 1)})
    for number in range(50_000):
        budget.charge({"address": number}, 0.0)
    assert len(budget._buckets) <= 20_000
