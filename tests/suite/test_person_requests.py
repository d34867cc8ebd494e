"""Requests for a person by frame, on a complete suite."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, wait_until

pytestmark = pytest.mark.processes

REFUND = "When will my refund be paid to my bank?"


def is_at_the_desk(suite: Suite, conversation: str) -> bool:
    """Return whether the conversation waits for a person."""
    return conversation in [entry["conversation"] for entry in suite.get("/v1/ops/desk")]


async def test_request_for_a_person_is_carried_out_once(suite: Suite) -> None:
    """Repeated on the same socket and after a resume; the second request gets the position again."""
    request = {"type": "request_person", "id": "p1", "text": "Un humain, s'il vous plaît."}
    async with Customer(suite.url) as customer:
        await customer.start()
        assert (await customer.ask("m1", REFUND))["title"]
        await customer.send(request)
        note = await customer.answer_to("p1")
        (accepted,) = [frame for frame in customer.frames_of("accepted") if frame["id"] == "p1"]
        await customer.send(request)
        assert await customer.until("accepted") == accepted
        await customer.resume()
        await customer.send(request)
        assert await customer.until("accepted") == accepted
        (escalated,) = customer.frames_of("escalated")
        assert (escalated["level"], escalated["urgency"]) == ("person", "normal")
        await asyncio.to_thread(wait_until, partial(is_at_the_desk, suite, customer.conversation), "the desk lists it")
        await customer.send({**request, "id": "p2"})
        assert (await customer.answer_to("p2"))["text"] == note["text"]
        assert len(customer.frames_of("escalated")) == 1
        await customer.send({"type": "cancel"})
        await customer.until("handoff")
    traced = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation)
    assert f"Customer requested a person: {request['text']}" in traced.stdout


async def test_request_for_a_person_needs_neither_text_nor_id(suite: Suite) -> None:
    """As the first frame of a conversation; every such frame is a request of its own."""
    async with Customer(suite.url) as customer:
        await customer.start()
        for count in (1, 2):
            await customer.send({"type": "request_person"})
            await customer.until("message")
            assert len({frame["id"] for frame in customer.frames_of("accepted")}) == count
        (escalated,) = customer.frames_of("escalated")
        assert escalated["level"] == "person"
        await customer.send({"type": "cancel"})
        await customer.until("handoff")
