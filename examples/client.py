"""A chat client for a running suite: python examples/client.py "I was charged twice"."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

import aiohttp

URL = "http://127.0.0.1:8080"
ATTEMPTS = 5


async def ask(text: str, url: str = URL) -> dict[str, Any]:
    """Send one message, print the answer as it streams, and return the final `message` frame."""
    opening = {"type": "start", "customer": "example"}
    request = {"type": "message", "id": uuid.uuid4().hex, "text": text}  # the same id on every attempt: sent once
    conversation: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for attempt in range(ATTEMPTS):
            try:
                async with session.ws_connect(f"{url}/v1/chat", protocols=["trunkline.v1"]) as socket:
                    await socket.send_json(opening)
                    await socket.send_json(request)
                    async for message in socket:
                        frame = json.loads(message.data)
                        # Frames with `seq` are durable: a resume delivers those after `last_seq` again.
                        conversation["last_seq"] = frame.get("seq", conversation.get("last_seq", 0))
                        match frame["type"]:
                            case "started":
                                conversation |= {key: frame[key] for key in ("conversation", "resume_token")}
                                opening = {"type": "resume", **conversation}
                            case "delta":
                                print("\r\033[K" * frame.get("replace", False) + frame["text"], end="", flush=True)
                            case "message" if frame["in_reply_to"] == request["id"]:
                                print()
                                return dict(frame)
                            case "error" if not frame["retryable"]:
                                raise SystemExit(f"{frame['code']}: {frame['message']}")
                            case "error" if frame.get("id") == request["id"]:  # too much at the moment: later again
                                await asyncio.sleep(frame.get("retry_after_s", 1.0))
                                await socket.send_json(request)
                    opening = {"type": "resume", **conversation} if "conversation" in conversation else opening
            except aiohttp.ClientError as error:
                print(f"connection lost ({error}), reconnecting", file=sys.stderr)
            await asyncio.sleep(2.0**attempt / 4)
    raise SystemExit("no answer")


if __name__ == "__main__":
    answer = asyncio.run(ask(" ".join(sys.argv[1:]) or "How long do refunds take?"))
    for citation in answer.get("citations", []):
        print(f"  {citation['title']}: “{citation['quote']}”")
