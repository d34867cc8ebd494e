"""A channel of messages: its address, and who sends which message to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trunkline_protocols.wire import Wire

Carrier = Literal["stream", "core", "request", "bucket", "websocket"]
Party = Literal[
    "client", "ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "supervisor", "every service"
]


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages in one direction of a channel. A reply is sent to the requester's NATS inbox."""

    senders: tuple[Party, ...]
    receivers: tuple[Party, ...]
    messages: tuple[type[Wire], ...]
    reply: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A subject, KV key or WebSocket. `{parameters}` are single tokens; `stored_in` is the stream or bucket."""

    name: str
    address: str
    carrier: Carrier
    flows: tuple[Flow, ...]
    stored_in: str = ""
    summary: str

    @property
    def messages(self) -> tuple[type[Wire], ...]:
        """Return all messages of the channel."""
        return tuple(message for flow in self.flows for message in flow.messages)
