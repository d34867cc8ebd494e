"""Arguments, standard input and replies that are not UTF-8, or not of Trunkline: never a traceback."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from trunkline_cli.text_input import readable_arguments
from trunkline_protocols import codec
from trunkline_protocols.frames import MessageFrame, StartedFrame

from tests.support.suite import trunkline

ROOT = Path(__file__).parents[2]
NO_UTF8 = b"caf\xe9"
REPLACED = "caf\N{REPLACEMENT CHARACTER}"


class Server:
    """A server that records frames and bodies, and answers every message."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.reply = b"{}"
        self.frames: list[bytes] = []
        """Frames in place of the answers."""

    async def chat(self, request: web.Request) -> web.WebSocketResponse:
        """Answer as an ingress does."""
        socket = web.WebSocketResponse(protocols=("trunkline.v1",))
        await socket.prepare(request)
        async for message in socket:
            frame = msgspec.json.decode(message.data)
            self.received.append(frame)
            for raw in self.frames or _answer(frame):
                await socket.send_str(raw.decode())
        return socket

    async def record(self, request: web.Request) -> web.Response:
        """Record a body."""
        body = await request.read()
        self.received.append(msgspec.json.decode(body) if body else {"path": request.path})
        return web.Response(body=self.reply)

    async def run(self, *arguments: str | bytes, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run a command against this server; return its exit status, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            trunkline(),
            *arguments,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8", "TRUNKLINE_URL": self.url},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    url = ""


def _answer(frame: dict[str, Any]) -> list[bytes]:
    if frame["type"] == "start":
        return [codec.encode(StartedFrame(conversation="c1", resume_token="t", seq=1))]
    if frame["type"] == "message":
        answer = MessageFrame(
            turn="t1", seq=2, text="yes", specialty="s", agent="a", citations=[], in_reply_to=frame["id"]
        )
        return [codec.encode(answer)]
    return []


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A running server."""
    served = Server()
    app = web.Application()
    app.router.add_get("/v1/chat", served.chat)
    app.router.add_route("*", "/{path:.*}", served.record)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


def test_bytes_that_are_not_utf8_are_replaced_except_in_names_of_files() -> None:
    """Also in the value of an option that is written with `=`."""
    given = ["plain", "a\udcff", "/data/\udcff", "--fleet=/data/\udcff", "--note=\udcff"]
    assert readable_arguments(given, exists=lambda name: name == "/data/\udcff") == [
        "plain",
        "a\N{REPLACEMENT CHARACTER}",
        "/data/\udcff",
        "--fleet=/data/\udcff",
        "--note=\N{REPLACEMENT CHARACTER}",
    ]


async def test_message_that_is_not_utf8_is_sent_with_replacement_characters(server: Server) -> None:
    """The argument of `ask`."""
    status, out, err = await server.run("ask", NO_UTF8)
    assert (status, err) == (0, "")
    assert out.startswith("yes\n")
    assert [frame["text"] for frame in server.received if frame["type"] == "message"] == [REPLACED]


async def test_line_that_is_not_utf8_is_sent_with_replacement_characters(server: Server) -> None:
    """Standard input of `chat`."""
    status, _, err = await server.run("chat", stdin=NO_UTF8 + b"\n/end\n")
    assert (status, err) == (0, "")
    assert [frame["text"] for frame in server.received if frame["type"] == "message"] == [REPLACED]


@pytest.mark.parametrize(
    "arguments",
    [
        ("notice", NO_UTF8, "--audience", "all"),
        ("kb", "search", NO_UTF8),
        ("kb", "restore", NO_UTF8),
        ("trace", NO_UTF8),
        ("notices", "recall", NO_UTF8),
    ],
    ids=str,
)
async def test_request_has_replacement_characters(server: Server, arguments: tuple[str | bytes, ...]) -> None:
    """In a body and in a path."""
    _, _, err = await server.run(*arguments)
    assert "Traceback" not in err
    assert REPLACED in str(server.received[0].values())


async def test_folder_whose_name_is_not_utf8_is_read(server: Server, tmp_path: Path) -> None:
    """The name stays as it is, and is shown with an escape."""
    folder = tmp_path / os.fsdecode(NO_UTF8)
    shutil.copytree(ROOT / "examples/minimal-fleet", folder)
    status, out, err = await server.run("fleet", "check", bytes(folder))
    assert (status, err) == (0, "")
    assert out


@pytest.mark.parametrize("reply", [b"<html>canary", b'{"hits":"canary"}', b"\xff\xfe", b"[" * 90_000])
async def test_reply_of_another_server_is_one_line(server: Server, reply: bytes) -> None:
    """The line names the path and not the content."""
    server.reply = reply
    status, out, err = await server.run("kb", "search", "x")
    assert (status, out) == (1, "")
    assert err.startswith("trunkline: /v1/ops/knowledge/search: the reply is not one of Trunkline: ")
    assert err.count("\n") == 1
    assert "canary" not in err


async def test_frame_of_another_server_is_one_line(server: Server) -> None:
    """An unknown type of frame."""
    server.frames = [b'{"type":"canary"}']
    status, _, err = await server.run("ask", "x")
    assert status == 1
    assert err.startswith("trunkline: the reply is not a frame of Trunkline: ")
    assert err.count("\n") == 1
    assert "canary" not in err
