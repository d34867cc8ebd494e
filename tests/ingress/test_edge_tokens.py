"""Access tokens and resume tokens at the edge, over real sockets."""

from __future__ import annotations

import aiohttp
import pytest
from trunkline_ingress.handlers.auth import Authenticator

from tests.ingress.edge_server import (
    START,
    Verifier,
    edge,
    errors_after,
    open_socket,
)


async def test_token_comes_in_the_header_or_in_the_first_frame() -> None:
    """Not in the address, unless that is switched on."""
    for allowed in (False, True):
        authenticator = Authenticator(Verifier(), allow_query_token=allowed)
        async with edge(authenticator=authenticator) as url, aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{url}/v1/chat", headers={"Authorization": "Bearer ada"}) as socket:
                assert await errors_after(socket, [START]) == ["started"]
            async with session.ws_connect(f"{url}/v1/chat") as socket:
                frames = [START, {**START, "token": "7"}, {**START, "token": "eve"}, {**START, "token": "ada"}]
                assert await errors_after(socket, frames) == ["unauthorized"] * 3 + ["started"]
            if allowed:
                async with session.ws_connect(f"{url}/v1/chat?token=ada") as socket:
                    assert await errors_after(socket, [START]) == ["started"]
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{url}/v1/chat?token=ada")
                assert refused.value.status == 401
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}/v1/chat", headers={"Authorization": "Bearer 7"})
            assert refused.value.status == 401


async def test_resume_is_bound_to_the_customer_of_the_token() -> None:
    """The resume token of one customer is worth nothing with the access token of another."""
    async with edge(authenticator=Authenticator(Verifier())) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{url}/v1/chat") as socket:
            await socket.send_json({**START, "token": "ada"})
            started = await socket.receive_json()
        resume = {"type": "resume", "last_seq": 1, "conversation": started["conversation"]}
        resume["resume_token"] = started["resume_token"]
        async with session.ws_connect(f"{url}/v1/chat") as socket:
            frames = [resume, {**resume, "token": "eve"}, {**resume, "token": "ada"}]
            assert await errors_after(socket, frames) == ["unauthorized", "unauthorized", "resumed"]


async def test_socket_is_closed_when_its_access_token_expires() -> None:
    """The error says so, and the client may resume with a new token."""
    async with open_socket(edge(authenticator=Authenticator(Verifier()))) as socket:
        assert await errors_after(socket, [{**START, "token": "ada:0.5"}]) == ["started"]
        error = await socket.receive_json(timeout=10)
        assert (error["code"], error["retryable"]) == ("unauthorized", True)
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
