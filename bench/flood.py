"""Hostile load on a running suite: half-sent headers, silent sockets, and sockets with bad frames.

Measures nothing itself. Run `trunkline bench load` without it and with it, and compare `response_ms`:

    python bench/flood.py --url http://127.0.0.1:8080 --seconds 120
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from trunkline_chassis.file_limit import raise_file_limit

_HEADER: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_PAUSE_S: Final = 1.0
BAD_FRAMES: Final = (
    '{"type":"dance"}',
    '{"type":"resume","conversation":"c1","resume_token":"x.y","last_seq":0}',
    '{"type":"message","id":"m1","text":7}',
    "[]",
)


async def half_header(url: str, counts: Counter[str]) -> None:
    """Send a part of a header again and again, and wait for the server to close the connection."""
    address = urlsplit(url)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(_HEADER)
            await reader.read()
            writer.close()
            counts["half-sent headers closed"] += 1
        await asyncio.sleep(_PAUSE_S)


async def hostile_socket(session: aiohttp.ClientSession, url: str, counts: Counter[str], rate: float) -> None:
    """Keep a socket open, and send bad frames at a rate; 0 sends none."""
    while True:
        with contextlib.suppress(aiohttp.ClientError, OSError, ConnectionResetError):
            async with session.ws_connect(f"{url}/v1/chat") as socket:
                if rate > 0:
                    await _send_bad_frames(socket, counts, rate)
                while not socket.closed:
                    await socket.receive()
                counts[f"sockets closed with {socket.close_code}"] += 1
        await asyncio.sleep(_PAUSE_S)


async def _send_bad_frames(socket: aiohttp.ClientWebSocketResponse, counts: Counter[str], rate: float) -> None:
    """Send bad frames at a rate until the socket is closed."""

    async def read() -> None:
        while not socket.closed:
            await socket.receive()

    reading = asyncio.ensure_future(read())
    try:
        for frame in itertools.cycle(BAD_FRAMES):
            await asyncio.sleep(1 / rate)
            if socket.closed:
                return
            await socket.send_str(frame)
            counts["bad frames"] += 1
    finally:
        reading.cancel()


async def flood(url: str, *, headers: int, silent: int, bad: int, rate: float, seconds: float) -> Counter[str]:
    """Attack for some seconds; return what happened."""
    counts: Counter[str] = Counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for _ in range(headers):
                    tasks.create_task(half_header(url, counts))
                for number in range(silent + bad):
                    tasks.create_task(hostile_socket(session, url, counts, rate if number < bad else 0))
    return counts


def main() -> None:
    """Run the attack and print its counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--headers", type=int, default=1_000, help="connections with a half-sent header")
    parser.add_argument("--silent", type=int, default=500, help="sockets that send nothing")
    parser.add_argument("--bad", type=int, default=500, help="sockets that send bad frames")
    parser.add_argument("--rate", type=float, default=10.0, help="bad frames per second and socket")
    parser.add_argument("--seconds", type=float, default=120.0)
    options = vars(parser.parse_args())
    raise_file_limit()
    print(json.dumps(asyncio.run(flood(options.pop("url"), **options)), indent=2))


if __name__ == "__main__":
    main()
