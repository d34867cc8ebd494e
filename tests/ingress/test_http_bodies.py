"""Bodies of the HTTP API: invalid ones are 400 without their content, half characters are joined or replaced."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from trunkline_chassis.errors import MessageTooLargeError
from trunkline_ingress.handlers.http import BODY_TIMEOUT_S, body_of, bus_errors, json_response
from trunkline_ingress.handlers.ops.desk import ReplyBody

from tests.support.undecodable import UNDECODABLE


async def posted(body: bytes) -> tuple[int, str]:
    """Post a reply of the desk; return the status and the text that was read."""

    async def reply(request: web.Request) -> web.Response:
        return json_response(await body_of(request, ReplyBody))

    app = web.Application(middlewares=[bus_errors])
    app[BODY_TIMEOUT_S] = 10.0
    app.router.add_post("/", reply)
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/", data=body)
        return response.status, await response.text()


@pytest.mark.parametrize("body", UNDECODABLE.values(), ids=UNDECODABLE)
async def test_body_that_cannot_be_decoded_is_a_bad_request(body: bytes) -> None:
    """Not an error of the server."""
    assert (await posted(body))[0] == 400


@pytest.mark.parametrize(
    "body", [b'{"reply_id":"r1","text":7,"person":"canary"}', b'{"reply_id":"canary\\n","text":"a"}']
)
async def test_reason_does_not_repeat_the_body(body: bytes) -> None:
    """It names the field; operators' clients log it."""
    status, reason = await posted(body)
    assert status == 400
    assert "$." in reason
    assert "canary" not in reason


async def test_message_over_the_limit_of_the_bus_is_413() -> None:
    """Another attempt would not help, unlike after 503."""

    async def refuse(_: web.Request) -> web.Response:
        raise MessageTooLargeError("$KV.FLEET.fleet", 2_000_000, 1_048_576)

    app = web.Application(middlewares=[bus_errors])
    app.router.add_post("/", refuse)
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/")
        assert response.status == 413
        assert "1048576 bytes" in await response.text()


async def test_half_characters_of_a_body_are_joined_or_replaced() -> None:
    """A browser that cut a text between two halves sends an escape."""
    status, reply = await posted(rb'{"reply_id":"r1","text":"\ud83d\ude00 \ud83d"}')
    assert status == 200
    assert msgspec.json.decode(reply)["text"] == "\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"
