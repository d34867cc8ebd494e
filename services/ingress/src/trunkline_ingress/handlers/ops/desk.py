"""/v1/ops/desk: where people take over what agents escalate, answer, and hand back or close it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.kv_view import KvView
from trunkline_protocols.context import Urgency
from trunkline_protocols.desk import Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.frames import MAX_TEXT_CHARACTERS
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rules.escalation import queue

from trunkline_ingress.core.transcript import TranscriptEntry, transcript
from trunkline_ingress.handlers.http import body_of, conversation_of, json_response
from trunkline_ingress.ports import Desk, Line

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class ClaimBody(msgspec.Struct):
    """Body of `POST .../claim` and of `POST /v1/ops/desk/next`."""

    person: Name


class ReplyBody(msgspec.Struct):
    """Body of `POST .../reply`; a repeat with the same `reply_id` is the same reply."""

    person: Name
    reply_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    text: Text


class HandBackBody(msgspec.Struct):
    """Body of `POST .../hand_back`; `to` is a specialty, empty for the one before."""

    person: Name
    note: str = ""
    to: str = ""


class CloseBody(msgspec.Struct):
    """Body of `POST .../close`."""

    person: Name
    reason: str = "settled by a person"


class Waiting(msgspec.Struct, kw_only=True):
    """A line of the desk; `position` is 0 for what somebody has claimed."""

    conversation: str
    customer: str
    tenant: str
    urgency: Urgency
    reason: str
    summary: str
    since: float
    due_at: float
    position: int
    claimed_by: str
    breaches: int


class Conversation(msgspec.Struct, kw_only=True):
    """A conversation as a person reads it."""

    conversation: str
    waiting: Waiting | None
    closed: bool
    transcript: list[TranscriptEntry]


@dataclass(frozen=True, slots=True)
class DeskOps:
    """The desk."""

    line: Line
    desk: Desk
    waiting: KvView[EscalationWaiting]
    region: str

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/v1/ops/desk", self.list_all),
            web.post("/v1/ops/desk/next", self.claim_next),
            web.get("/v1/ops/desk/{conversation}", self.show),
            web.post("/v1/ops/desk/{conversation}/claim", self.claim),
            web.post("/v1/ops/desk/{conversation}/reply", self.reply),
            web.post("/v1/ops/desk/{conversation}/hand_back", self.hand_back),
            web.post("/v1/ops/desk/{conversation}/close", self.close),
        ]

    async def list_all(self, _: web.Request) -> web.Response:
        """Tell who waits, the most pressing first, then who is being served."""
        return json_response(self._lines())

    async def show(self, request: web.Request) -> web.Response:
        """Tell a conversation's transcript."""
        conversation = conversation_of(request)
        commits = await self.line.commits(self._region_of(conversation), conversation, after=0)
        if not commits:
            raise web.HTTPNotFound(text=f"no conversation {conversation}")
        said, closed = transcript(commits)
        line = next((line for line in self._lines() if line.conversation == conversation), None)
        return json_response(Conversation(conversation=conversation, waiting=line, closed=closed, transcript=said))

    async def claim_next(self, request: web.Request) -> web.Response:
        """Take the most pressing conversation."""
        body = await body_of(request, ClaimBody)
        for entry in queue(self.waiting.values.values(), time.time()):
            done = await self._order(entry.conversation, partial(Claim, person=body.person))
            if done.status == 200:  # noqa: PLR2004
                return json_response({"conversation": entry.conversation})
        raise web.HTTPNotFound(text="nobody waits")

    async def claim(self, request: web.Request) -> web.Response:
        """Take a conversation."""
        body = await body_of(request, ClaimBody)
        return await self._order(conversation_of(request), partial(Claim, person=body.person))

    async def reply(self, request: web.Request) -> web.Response:
        """Write to the customer."""
        body = await body_of(request, ReplyBody)
        order = partial(Reply, person=body.person, reply_id=body.reply_id, text=body.text)
        return await self._order(conversation_of(request), order)

    async def hand_back(self, request: web.Request) -> web.Response:
        """Give a conversation back to the fleet."""
        body = await body_of(request, HandBackBody)
        order = partial(HandBack, person=body.person, note=body.note, to=body.to)
        return await self._order(conversation_of(request), order)

    async def close(self, request: web.Request) -> web.Response:
        """End a conversation."""
        body = await body_of(request, CloseBody)
        return await self._order(conversation_of(request), partial(Close, person=body.person, reason=body.reason))

    async def _order(self, conversation: ConversationId, order: Callable[..., DeskMessage]) -> web.Response:
        outcome = await self.desk.order(self._region_of(conversation), conversation, order)
        return json_response(outcome, status=200 if outcome.done else 409)

    def _region_of(self, conversation: str) -> str:
        entry = self.waiting.values.get(conversation)
        return entry.region if entry is not None else self.region

    def _lines(self) -> list[Waiting]:
        now = time.time()
        entries = list(self.waiting.values.values())
        lines = [_line(entry, position) for position, entry in enumerate(queue(entries, now), start=1)]
        claimed = [entry for entry in entries if entry.escalation.claimed_by]
        return lines + [_line(entry, 0) for entry in sorted(claimed, key=lambda entry: entry.escalation.since)]


def _line(entry: EscalationWaiting, position: int) -> Waiting:
    escalation = entry.escalation
    return Waiting(
        conversation=entry.conversation,
        customer=entry.customer,
        tenant=entry.tenant,
        urgency=escalation.urgency,
        reason=escalation.reason,
        summary=escalation.summary,
        since=escalation.since,
        due_at=escalation.due_at,
        position=position,
        claimed_by=escalation.claimed_by,
        breaches=escalation.breaches,
    )
