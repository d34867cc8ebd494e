"""Requests that are repeated while a cluster elects a leader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError
from trunkline_chassis.repeated_request import first_reply

NO_LEADER = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}
STORED = {"message": {"subject": "inbox.a", "seq": 7, "data": ""}}


class Electing:
    """The client of a cluster that elects a leader."""

    def __init__(self, *replies: dict[str, Any] | None) -> None:
        """`replies` in their order, None for a request that is lost; the last one is repeated."""
        self.replies = list(replies)
        self.requests = 0
        self.is_connected = True

    async def request(self, subject: str, payload: bytes, *, timeout: float, headers: object = None) -> Msg:  # noqa: ASYNC109 - nats-py's
        """Reply, or wait as long as nats-py does."""
        reply = self.replies[min(self.requests, len(self.replies) - 1)]
        self.requests += 1
        if reply is None:
            await asyncio.sleep(timeout)
            raise nats.errors.TimeoutError
        return Msg(Client(), data=msgspec.json.encode(reply))


async def test_first_reply_to_any_attempt_counts() -> None:
    """The first attempts are lost, the third is answered; a late reply to the second would have counted too."""
    sent = 0

    async def send(wait_s: float) -> int:
        nonlocal sent
        sent += 1
        number = sent
        if number == 1:
            await asyncio.sleep(wait_s)
            raise TimeoutError
        await asyncio.sleep(0.15 if number == 2 else 60)
        return number

    assert await first_reply(send, every_s=0.1, timeout_s=5) == 2
    assert sent == 3


async def test_without_a_reply_the_request_is_given_up_after_the_timeout() -> None:
    """With no more attempts than fit in."""
    sent = 0

    async def send(wait_s: float) -> int:
        nonlocal sent
        sent += 1
        await asyncio.sleep(wait_s)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await first_reply(send, every_s=0.05, timeout_s=0.2)
    assert 2 <= sent <= 5


@pytest.mark.parametrize(("is_repeatable", "is_answered"), [(True, True), (False, False)])
async def test_call_that_is_lost_in_an_election_is_repeated_if_that_does_no_harm(
    *, is_repeatable: bool, is_answered: bool
) -> None:
    """Listing and creating may be repeated; a reset is not, since messages may have been delivered in between."""
    client = Electing(None, {"streams": ["WORK"]})
    call = Bus(cast("Client", client)).api("STREAM.NAMES", timeout_s=2.5, is_repeatable=is_repeatable)
    if is_answered:
        assert await call == {"streams": ["WORK"]}
    else:
        with pytest.raises(BusUnavailableError):
            await call
    assert client.requests == 1 + is_answered


READS: list[Callable[[Bus], Any]] = [
    lambda bus: bus.last_message("INBOX", "inbox.a"),
    lambda bus: bus.get_message("INBOX", 7),
]


@pytest.mark.parametrize("read", READS)
async def test_read_waits_for_the_leader(read: Callable[[Bus], Any]) -> None:
    """A server without a leader refuses at once; a customer's resume would end with it."""
    client = Electing(NO_LEADER, None, NO_LEADER, STORED)
    assert (await read(Bus(cast("Client", client)))).seq == 7
    assert client.requests == 4


async def test_refusal_for_another_reason_is_not_repeated() -> None:
    """Such as a stream that does not exist."""
    client = Electing({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}})
    with pytest.raises(BusRefusedError):
        await Bus(cast("Client", client)).last_message("INBOX", "inbox.a")
    assert client.requests == 1
