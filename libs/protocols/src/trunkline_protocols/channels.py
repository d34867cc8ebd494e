"""A channel of messages: its address with its parameters, and who sends which message to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from trunkline_protocols.rules.residency import BORDERS
from trunkline_protocols.subjects import COLOURS, COMMIT_KINDS, LANES, Audience
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


PARAMETERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "region": ("Region of the conversations", ()),
    "partition": ("Partition of the conversation, 0 to 63, by CRC-32 of its id", ()),
    "conversation": ("Id of the conversation", ()),
    "kind": ("Kind of commit", COMMIT_KINDS),
    "specialty": ("Specialty that receives the work", ()),
    "lane": ("Urgency of the work", LANES),
    "colour": ("Release whose agents receive the work", COLOURS),
    "audience": ("Audience of a notice", get_args(Audience)),
    "stream": ("Stream that the message came from", ()),
    "consumer": ("Consumer that failed to handle it", ()),
    "notice": ("Id of a notice", ()),
    "hold": ("Id of a legal hold", ()),
    "border": ("Border between regions", BORDERS),
    "day": ("Days since 1970, UTC", ()),
    "tenant": ("Tenant of the customers", ()),
    "turn": ("Id of the turn", ()),
    "hop": ("Number of specialty changes within the turn", ()),
    "step": ("Number of the tool step", ()),
    "customer": ("Hash of the customer's tenant and id", ()),
    "fingerprint": ("First characters of the hash of a customer's key", ()),
    "tool": ("Name of a tool of the fleet", ()),
    "ingress": ("Instance that holds the customer's socket", ()),
    "instance": ("Name of one process", ()),
    "service": ("Service of the process", ()),
}
"""Meaning of each address parameter, with its values if they form a closed set."""
