"""Bytes of a turn: in the streams, in the archive, through the NATS server and on customers' sockets.

Asks a running suite of this machine several questions in each of many conversations, and reads the sizes before and
after it. `trunkline plan` uses the figures.

    TRUNKLINE_LLM_CONFIG=bench/simulated.toml TRUNKLINE_MESSAGES_PER_S=1000 ./just up --data-dir DIR
    python -m bench.volumes --data-dir DIR --conversations 200 --turns 8
"""

from __future__ import annotations

import argparse
import asyncio
import configparser
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import nats
from trunkline_protocols.decoding import decode, encode
from trunkline_protocols.permissions import inbox_prefix
from trunkline_supervisor.adapters.nats_credentials import SYSTEM_USER, credentials_folder, operator_url_file

_QUESTIONS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "When will my refund be paid to my bank?",
    "My thermostat shows the error code E2 on its screen",
    "How do I change the address of my account?",
)
_TIMEOUT_S: Final = 60.0
_SETTLE_S: Final = 5.0
"""Time for the archive to store what is in the streams."""
_CONCURRENT: Final = 8


async def _read_sizes(data_dir: Path) -> Counter[str]:
    """Return bytes of streams and archive, and those that the server has received and sent."""
    sizes: Counter[str] = Counter()
    operator = operator_url_file(data_dir).read_text().strip()
    password = (credentials_folder(data_dir) / SYSTEM_USER).read_text().strip()
    client = await nats.connect(operator, inbox_prefix=inbox_prefix("operator"))
    listed: dict[str, Any] = decode((await client.request("$JS.API.STREAM.LIST", encode({}))).data, dict)
    for stream in listed["streams"]:
        sizes[stream["config"]["name"]] = stream["state"]["bytes"]
    await client.close()
    address = operator.rpartition("@")[2]
    system = await nats.connect(f"nats://{SYSTEM_USER}:{password}@{address}")
    server: dict[str, Any] = decode((await system.request("$SYS.REQ.SERVER.PING.VARZ", b"")).data, dict)["data"]
    await system.close()
    sizes["nats received"], sizes["nats sent"] = server["in_bytes"], server["out_bytes"]
    service = configparser.ConfigParser(interpolation=None)
    service.read(data_dir / "secrets" / "pg_service.conf")
    given = service["trunkline"]
    database = await asyncpg.connect(
        host=given["host"],
        port=int(given["port"]),
        user=given["user"],
        password=given["password"],
        database=given["dbname"],
    )
    sizes["archive"] = await database.fetchval("SELECT pg_database_size(current_database())")
    await database.close()
    return sizes


async def _converse(session: aiohttp.ClientSession, url: str, turns: int) -> int:
    """Ask in a new conversation and return the bytes of all received frames."""
    received = 0
    async with session.ws_connect(f"{url}/v1/chat", protocols=("trunkline.v1",), compress=0) as socket:
        await socket.send_json({"type": "start", "customer": "bench"})
        for turn in range(turns):
            await socket.send_json({"type": "message", "id": f"m{turn}", "text": _QUESTIONS[turn % len(_QUESTIONS)]})
            while True:
                async with asyncio.timeout(_TIMEOUT_S):
                    text = await socket.receive_str()
                received += len(text.encode()) + 4
                frame = json.loads(text)
                if frame["type"] == "message":
                    break
                if frame["type"] == "error":
                    raise RuntimeError(f"{frame['code']}: {frame['message']}")
    return received


async def _measure(data_dir: Path, url: str, conversations: int, turns: int) -> dict[str, float]:
    before = await _read_sizes(data_dir)
    permits = asyncio.Semaphore(_CONCURRENT)

    async def converse(session: aiohttp.ClientSession) -> int:
        async with permits:
            return await _converse(session, url, turns)

    async with aiohttp.ClientSession() as session:
        received = await asyncio.gather(*(converse(session) for _ in range(conversations)))
    await asyncio.sleep(_SETTLE_S)
    after = await _read_sizes(data_dir)
    count = conversations * turns
    per_turn = {name: round((after[name] - before[name]) / count, 1) for name in after if after[name] != before[name]}
    return {"turns": count, **per_turn, "sockets sent": round(sum(received) / count, 1)}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--turns", type=int, default=8)
    given = parser.parse_args()
    result = asyncio.run(_measure(given.data_dir, given.url, given.conversations, given.turns))
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
