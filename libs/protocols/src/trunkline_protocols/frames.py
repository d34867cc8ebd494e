"""WebSocket frames of `GET /v1/chat`, subprotocol `trunkline.v1`: one JSON object per text frame, `type` first.

Frames with `seq` are durable: `seq` increases by one within a conversation, and `resume` replays missed frames.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from trunkline_protocols.citations import Citation
from trunkline_protocols.escalation import Level, Urgency
from trunkline_protocols.wire import Record, Wire

SUBPROTOCOL = "trunkline.v1"
MAX_FRAME_BYTES = 128 * 1024
MAX_TEXT_CHARACTERS = 8_000

Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
OptionalToken = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
AccessToken = Annotated[str, Meta(max_length=8_192)]
"""A customer's JSON Web Token; empty without one."""

ErrorCode = Literal[
    "bad_frame", "unauthorized", "rate_limited", "too_large", "not_found", "wrong_region", "unavailable", "internal"
]


# -- client -> server ---


class Start(Wire, frozen=True, kw_only=True, tag="start"):
    """Start a conversation."""

    customer: Name
    tenant: Token = "default"
    region: OptionalToken = ""
    """Region of the conversation; default: that of the suite, which refuses any other."""
    channel: Token = "web"
    locale: Token = "en"
    tier: OptionalToken = ""
    """The customer's tier; ignored if authentication is on, since the token carries it."""
    token: AccessToken = ""
    """Access token, if authentication is on and the handshake had none."""


class Resume(Wire, frozen=True, kw_only=True, tag="resume"):
    """Resume a conversation after a lost connection; `last_seq` is the last durable frame received."""

    conversation: Token
    resume_token: Annotated[str, Meta(max_length=2_000)]
    last_seq: Annotated[int, Meta(ge=0)]
    token: AccessToken = ""
    """Access token, if authentication is on and the handshake had none."""


class Message(Wire, frozen=True, kw_only=True, tag="message"):
    """Send a message. `id` is the client's idempotency key: a repeat gets the same reply."""

    id: Token
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class RequestPerson(Wire, frozen=True, kw_only=True, tag="request_person"):
    """Request a person: as a message that asks for one, but independent of its language and of the fleet's phrases."""

    id: OptionalToken = ""
    """The client's idempotency key, as of `message`; without one, every frame is a new request."""
    text: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)] = ""
    """The customer's words; default: a plain sentence."""


class End(Wire, frozen=True, kw_only=True, tag="end"):
    """Close the conversation."""


class Feedback(Wire, frozen=True, kw_only=True, tag="feedback"):
    """Rate the conversation. A later rating replaces an earlier one: the text may follow in a second frame."""

    rating: Annotated[int, Meta(ge=1, le=5)]
    text: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)] = ""


class LeaveQueue(Wire, frozen=True, kw_only=True, tag="cancel"):
    """Leave an escalation queue."""


ClientFrame: TypeAlias = Start | Resume | Message | RequestPerson | End | Feedback | LeaveQueue


# -- server -> client ---


class StartedFrame(Wire, frozen=True, kw_only=True, tag="started", omit_defaults=False):
    """The conversation exists."""

    conversation: str
    resume_token: str
    seq: int


class ResumedFrame(Wire, frozen=True, kw_only=True, tag="resumed", omit_defaults=False):
    """Result of a resume: all missed frames follow if `recovered`, else none."""

    conversation: str
    recovered: bool


class AcceptedFrame(Wire, frozen=True, kw_only=True, tag="accepted", omit_defaults=False):
    """The message is stored and will be answered."""

    id: str
    seq: int


class DeltaFrame(Wire, frozen=True, kw_only=True, tag="delta"):
    """A streamed piece of an answer; `replace` discards the turn's earlier pieces. Ephemeral."""

    turn: str
    text: str
    replace: bool = False


class MessageFrame(Wire, frozen=True, kw_only=True, tag="message", omit_defaults=False):
    """The final answer of a turn."""

    turn: str
    seq: int
    text: str
    specialty: str
    agent: str
    citations: list[Citation]
    in_reply_to: str
    consulted: list[ConsultedPart] = []
    title: str = ""
    """The agent's title, for example "Camera technician"; empty for people and for texts of the system."""
    at: float = 0.0
    """Time of the commit, in Unix seconds."""


class ConsultedPart(Record, frozen=True, kw_only=True):
    """A specialist whose advice is part of an answer."""

    specialty: str
    agent: str


class HandoffFrame(Wire, frozen=True, kw_only=True, tag="handoff", omit_defaults=False):
    """Another specialty owns the conversation now."""

    turn: str
    seq: int
    from_: str = field(name="from")
    to: str
    reason: str


class EscalatedFrame(Wire, frozen=True, kw_only=True, tag="escalated", omit_defaults=False):
    """The conversation goes to a senior agent, or waits for a person, according to `level`."""

    turn: str
    seq: int
    urgency: Urgency
    position: int
    level: Level = "person"


class PositionFrame(Wire, frozen=True, kw_only=True, tag="position", omit_defaults=False):
    """The queue position has changed; 0 if claimed by the person `claimed_by`. Ephemeral."""

    urgency: Urgency
    position: int
    claimed_by: str = ""


class NoticeFrame(Wire, frozen=True, kw_only=True, tag="notice", omit_defaults=False):
    """A notice for customers, shown until `expires_at` (Unix seconds). Ephemeral."""

    id: str
    text: str
    severity: str
    expires_at: float = 0.0


class NoticeRecalledFrame(Wire, frozen=True, kw_only=True, tag="notice_recalled", omit_defaults=False):
    """Recall of a notice. Ephemeral."""

    id: str


class ClosedFrame(Wire, frozen=True, kw_only=True, tag="closed", omit_defaults=False):
    """The conversation is closed; no further frames follow."""

    seq: int
    reason: str


class ErrorFrame(Wire, frozen=True, kw_only=True, tag="error", omit_defaults=False):
    """An invalid frame, or a request that cannot be served now. `id` names the client's message if there is one."""

    code: ErrorCode
    message: str
    retryable: bool = False
    id: str | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET
    """Seconds after which a retry may succeed."""
    site: str | UnsetType = UNSET
    """Address of the site that serves the customer's region, if it is another one than this."""


DurableFrame: TypeAlias = StartedFrame | AcceptedFrame | MessageFrame | HandoffFrame | EscalatedFrame | ClosedFrame
ServerFrame: TypeAlias = (
    StartedFrame
    | ResumedFrame
    | AcceptedFrame
    | DeltaFrame
    | MessageFrame
    | HandoffFrame
    | EscalatedFrame
    | PositionFrame
    | NoticeFrame
    | NoticeRecalledFrame
    | ClosedFrame
    | ErrorFrame
)
