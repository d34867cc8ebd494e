"""Invalid input gets the error of the contract and does not affect the process."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.customer import Customer
from tests.support.suite import Suite

pytestmark = pytest.mark.processes


async def error_after(customer: Customer, frame: dict[str, object] | str) -> dict[str, object]:
    """Send a frame and return the error that must follow."""
    await customer.send(frame)
    reply = await customer.receive()
    assert reply["type"] == "error", reply
    assert set(reply) >= {"code", "message", "retryable"}
    return reply


@pytest.fixture(autouse=True)
def _ingress_survives(suite: Suite) -> object:
    """No test may crash the ingress."""
    pid = suite.pid("ingress-1")
    yield
    assert suite.pid("ingress-1") == pid


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "dance"},
        {"no": "type"},
        {"type": "message", "id": "m1"},
        {"type": "message", "id": "m1", "text": 7},
        {"type": "message", "id": "not a token", "text": "hello"},
        {"type": "message", "id": "m1", "text": ""},
        {"type": "start"},
        {"type": "start", "customer": "ada"},
        {"type": "message", "id": "m1\n", "text": "hello"},
        {"type": "resume", "conversation": "c1", "resume_token": "x", "last_seq": -1},
        {"type": "feedback", "rating": 6},
        [],
        "7",
    ],
    ids=str,
)
async def test_invalid_frame_is_reported_and_the_socket_stays_open(
    suite: Suite, frame: dict[str, object] | str
) -> None:
    """The conversation continues."""
    async with Customer(suite.url) as customer:
        await customer.start()
        assert (await error_after(customer, frame))["code"] == "bad_frame"
        assert (await customer.ask("m1", "Hello"))["in_reply_to"] == "m1"


async def test_error_names_the_message_and_the_field(suite: Suite) -> None:
    """The invalid field is in the text of the error."""
    async with Customer(suite.url) as customer:
        await customer.start()
        error = await error_after(customer, {"type": "message", "id": "m9", "text": 7})
    assert error["id"] == "m9"
    assert "$.text" in str(error["message"])


async def test_message_before_start_is_refused(suite: Suite) -> None:
    """There is no conversation yet."""
    async with Customer(suite.url) as customer:
        error = await error_after(customer, {"type": "message", "id": "m1", "text": "hello"})
    assert error["code"] == "bad_frame"


async def test_unknown_region_is_refused_at_the_start(suite: Suite) -> None:
    """The socket stays open for a `start` of this suite's region."""
    async with Customer(suite.url) as customer:
        error = await error_after(customer, {"type": "start", "customer": "ada", "region": "elsewhere"})
        assert (error["code"], error["retryable"]) == ("bad_frame", False)
        assert "region" in str(error["message"])
        await customer.start()


async def test_text_over_the_limit_is_too_large(suite: Suite) -> None:
    """8,000 characters are accepted, 8,001 are not."""
    async with Customer(suite.url) as customer:
        await customer.start()
        error = await error_after(customer, {"type": "message", "id": "m1", "text": "x" * 8_001})
        assert (error["code"], error["id"]) == ("too_large", "m1")
        await customer.ask("m1", "x" * 8_000)


async def test_longest_text_and_half_characters_are_answered(suite: Suite) -> None:
    """8,000 characters written as escapes take 96 KB; a lone surrogate becomes U+FFFD."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.send(r'{"type":"message","id":"m1","text":"' + r"\ud83d\ude00" * 8_000 + '"}')
        await customer.send(r'{"type":"message","id":"m2","text":"Hello \ud83d"}')
        answered: list[object] = []
        while len(answered) < 2:
            frame = await customer.receive()
            assert frame["type"] != "error", frame
            if frame["type"] == "message":
                answered.append(frame["in_reply_to"])
        assert answered == ["m1", "m2"]


@pytest.mark.parametrize(
    ("raw", "code"), [("not json", 1007), (b"\x00\x01", 1003), ('{"type":"message","text":"' + "x" * 140_000, 1009)]
)
async def test_non_frame_closes_the_socket_with_its_close_code(suite: Suite, raw: str | bytes, code: int) -> None:
    """Bytes that are not JSON, binary frames, frames over 128 KiB."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.send(raw)
        assert customer.socket is not None
        message = await customer.socket.receive()
        while message.type is aiohttp.WSMsgType.TEXT:
            assert '"error"' in message.data
            message = await customer.socket.receive()
        assert customer.socket.close_code == code


async def test_unknown_conversation_is_not_found(suite: Suite) -> None:
    """The error does not reveal whether a conversation exists."""
    async with Customer(suite.url) as customer:
        error = await error_after(
            customer, {"type": "resume", "conversation": "cnone", "resume_token": "x.y", "last_seq": 0}
        )
    assert error["code"] == "not_found"


async def test_forged_resume_token_is_unauthorized(suite: Suite) -> None:
    """Neither a conversation's id alone nor the token of another one is enough."""
    async with Customer(suite.url) as owner, Customer(suite.url) as other:
        await owner.start()
        await owner.ask("m1", "Hello")
        started = await other.start()
        for token in (owner.resume_token[:-4] + "AAAA", started["resume_token"]):
            await other.connect()
            error = await error_after(
                other, {"type": "resume", "conversation": owner.conversation, "resume_token": token, "last_seq": 0}
            )
            assert error["code"] == "unauthorized"


async def test_second_socket_takes_the_conversation_over(suite: Suite) -> None:
    """The newest socket wins; the first gets an error and is closed, and no message is lost."""
    async with Customer(suite.url) as first, Customer(suite.url) as second:
        await first.start()
        await first.ask("m1", "Hello")
        second.conversation, second.resume_token = first.conversation, first.resume_token
        second.last_seq = first.last_seq
        assert (await second.resume())["recovered"] is True
        error = await first.receive()
        assert (error["type"], error["code"]) == ("error", "unavailable")
        assert first.socket is not None
        await first.socket.receive()
        assert first.socket.close_code == 4001
        await second.ask("m2", "And then?")


async def test_too_many_messages_are_rate_limited(suite: Suite) -> None:
    """The error names the message and is retryable."""
    async with Customer(suite.url) as customer:
        await customer.start()
        for number in range(40):
            await customer.say(f"m{number}", "ok")
        limited = None
        while limited is None:
            frame = await customer.receive()
            if frame["type"] == "error":
                limited = frame
    assert (limited["code"], limited["retryable"]) == ("rate_limited", True)
    assert limited["id"].startswith("m")


async def test_page_of_another_origin_cannot_connect(suite: Suite) -> None:
    """Browsers send the `Origin` header; a foreign one is refused."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{suite.url}/v1/chat", headers={"Origin": "https://evil.example"})
    assert refused.value.status == 403
