"""/v1/ops/desk: the queue of escalated conversations; people claim, answer, annotate, hand back or close them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta
from msgspec.structs import replace
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.residency import BorderGuard
from trunkline_chassis.texts import NO_KEYS
from trunkline_protocols.customers import subject_of
from trunkline_protocols.desk import AddNote, Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.escalation import EscalationWaiting, Urgency
from trunkline_protocols.frames import MAX_TEXT_CHARACTERS, Token
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import Started
from trunkline_protocols.rules.escalation import queue

from trunkline_ingress.application.record_border import admits_records
from trunkline_ingress.application.view_recording import record_views
from trunkline_ingress.core.archived import is_trimmed
from trunkline_ingress.core.customer_view import CustomerView, customer_view
from trunkline_ingress.core.operators import AGENTS, READERS, Operator
from trunkline_ingress.core.transcript import TranscriptEntry, transcript
from trunkline_ingress.handlers.access import Route, operator_of, operators, person_of
from trunkline_ingress.handlers.http import body_of, conversation_of, json_response
from trunkline_ingress.operator_ports import ConversationArchive, Desk, ViewRecords
from trunkline_ingress.ports import ConversationLog, EscalationView, StoredCustomers, StoredTextReader

_log: Final = structlog.get_logger(__name__)
Person = Annotated[str, Meta(max_length=100)]
"""Name of the person for the shared token of a single machine; a named key has its own."""
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class ClaimBody(msgspec.Struct):
    """Body of `POST .../claim` and of `POST /v1/ops/desk/next`."""

    person: Person = ""


class ReplyBody(msgspec.Struct):
    """Body of `POST .../reply`; a repeat with the same `reply_id` is the same reply."""

    reply_id: Token
    text: Text
    person: Person = ""


class HandBackBody(msgspec.Struct):
    """Body of `POST .../hand_back`; `to` is a specialty, empty for the previous one."""

    person: Person = ""
    note: str = ""
    to: str = ""


class NoteBody(msgspec.Struct):
    """Body of `POST .../note`; a repeat with the same `note_id` is the same note."""

    note_id: Token
    text: Text
    person: Person = ""


class CloseBody(msgspec.Struct):
    """Body of `POST .../close`."""

    person: Person = ""
    reason: str = "resolved by a person"


class QueueEntry(msgspec.Struct, kw_only=True):
    """An escalated conversation; `position` is 0 if a person has claimed it."""

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
    last_message: str
    """The customer's last message, shortened."""
    messages: int
    """Number of the customer's messages so far."""
    unanswered: int
    """Number of the customer's messages since the last answer."""
    gone_since: float
    """Time since which the customer's page is closed, 0 while it is open."""


class EscalatedConversation(msgspec.Struct, kw_only=True):
    """A conversation with its transcript."""

    conversation: str
    waiting: QueueEntry | None
    closed: bool
    archives: list[str]
    """Names of the archives that it was read from; empty if its log has all of it."""
    transcript: list[TranscriptEntry]
    customer: CustomerView | None
    """The known data about the customer, now; null if it cannot be read."""
    channel: str
    locale: str
    tier: str
    verified: bool
    """Whether an access token named the customer when the conversation began."""


@dataclass(frozen=True, slots=True)
class DeskOps:
    """Handlers for the desk."""

    desk: Desk
    log: ConversationLog
    archive: ConversationArchive
    escalations: EscalationView
    customers: StoredCustomers
    views: ViewRecords
    borders: BorderGuard
    texts: StoredTextReader = NO_KEYS

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/desk", self.list_all, operators(READERS)),
            Route("POST", "/v1/ops/desk/next", self.claim_next, operators(AGENTS)),
            Route("GET", "/v1/ops/desk/{conversation}", self.show, operators(READERS)),
            Route("POST", "/v1/ops/desk/{conversation}/claim", self.claim, operators(AGENTS)),
            Route("POST", "/v1/ops/desk/{conversation}/reply", self.reply, operators(AGENTS)),
            Route("POST", "/v1/ops/desk/{conversation}/hand_back", self.hand_back, operators(AGENTS)),
            Route("POST", "/v1/ops/desk/{conversation}/note", self.add_note, operators(AGENTS)),
            Route("POST", "/v1/ops/desk/{conversation}/close", self.close, operators(AGENTS)),
        ]

    async def list_all(self, request: web.Request) -> web.Response:
        """Return the queue, the most urgent conversation first, followed by the claimed conversations.

        If the look at them cannot be recorded, no text is shown: people can still claim a case.
        """
        entries = await self._entries()
        shown = [(self.borders.region, ConversationId(entry.conversation)) for entry in entries]
        try:
            await record_views(self.views, shown, "queue", operator_of(request))
        except BusError as error:
            _log.warning("desk.view_not_recorded", error=reason_of(error))
            entries = [replace(entry, reason="", summary="", last_message="") for entry in entries]
        return json_response(entries)

    async def show(self, request: web.Request) -> web.Response:
        """Return a conversation's transcript."""
        conversation = conversation_of(request)
        region = self._home_of(conversation)
        commits = await self.log.commits(region, conversation, after=0)
        archives: Sequence[str] = ()
        if is_trimmed(commits) or not commits:
            archived = await self.archive.read(conversation)
            commits, archives = archived.commits(commits), archived.archives
        if not commits or not admits_records(self.borders, conversation, [each.commit.region for each in commits]):
            raise web.HTTPNotFound(text=f"conversation {conversation} not found")
        await self.views.record(region, conversation, "desk", operator_of(request))
        messages, closed = transcript(commits)
        first = commits[0].commit
        started = next((event for event in first.events if isinstance(event, Started)), None)
        entry = next((entry for entry in await self._entries() if entry.conversation == conversation), None)
        return json_response(
            EscalatedConversation(
                conversation=conversation,
                waiting=entry,
                closed=closed,
                archives=[*archives],
                transcript=messages,
                customer=await self._customer(first.tenant, first.customer, conversation, operator_of(request)),
                channel=started.channel if started is not None else "",
                locale=started.locale if started is not None else "",
                tier=started.tier if started is not None else "",
                verified=started is not None and started.verified,
            )
        )

    async def claim_next(self, request: web.Request) -> web.Response:
        """Claim the most urgent conversation."""
        person = person_of(request, (await body_of(request, ClaimBody)).person)
        for escalation in queue(self._escalations(), time.time()):
            response = await self._submit(escalation.conversation, partial(Claim, person=person))
            if response.status == HTTPStatus.OK:
                return json_response({"conversation": escalation.conversation})
        raise web.HTTPNotFound(text="the queue is empty")

    async def claim(self, request: web.Request) -> web.Response:
        """Claim a conversation."""
        body = await body_of(request, ClaimBody)
        return await self._submit(conversation_of(request), partial(Claim, person=person_of(request, body.person)))

    async def reply(self, request: web.Request) -> web.Response:
        """Reply to the customer."""
        body = await body_of(request, ReplyBody)
        command = partial(Reply, person=person_of(request, body.person), reply_id=body.reply_id, text=body.text)
        return await self._submit(conversation_of(request), command)

    async def hand_back(self, request: web.Request) -> web.Response:
        """Hand a conversation back to the fleet."""
        body = await body_of(request, HandBackBody)
        command = partial(HandBack, person=person_of(request, body.person), note=body.note, to=body.to)
        return await self._submit(conversation_of(request), command)

    async def add_note(self, request: web.Request) -> web.Response:
        """Add an internal note, which the customer never sees."""
        body = await body_of(request, NoteBody)
        command = partial(AddNote, person=person_of(request, body.person), note_id=body.note_id, text=body.text)
        return await self._submit(conversation_of(request), command)

    async def close(self, request: web.Request) -> web.Response:
        """Close a conversation."""
        body = await body_of(request, CloseBody)
        return await self._submit(
            conversation_of(request), partial(Close, person=person_of(request, body.person), reason=body.reason)
        )

    async def _customer(
        self, tenant: str, customer: str, shown: ConversationId, operator: Operator
    ) -> CustomerView | None:
        """Return the known data about a customer, None if the bucket cannot be read: the case is shown without it."""
        try:
            stored = await self.customers.load(subject_of(tenant, customer))
        except BusError as error:
            _log.warning("desk.customer_not_read", error=reason_of(error))
            return None
        earlier = stored.known.conversation
        if stored.known.earlier and earlier and earlier != shown:
            await self.views.record(self.borders.region, ConversationId(earlier), "customer", operator)
        return customer_view(tenant, customer, stored.known, now=time.time())

    async def _submit(self, conversation: ConversationId, make_command: Callable[..., DeskMessage]) -> web.Response:
        outcome = await self.desk.submit(self._home_of(conversation), conversation, make_command)
        return json_response(outcome, status=HTTPStatus.OK if outcome.done else HTTPStatus.CONFLICT)

    def _home_of(self, conversation: str) -> str:
        """Return the region of this suite; a conversation of another one is not found."""
        escalation = self.escalations.values.get(conversation)
        if escalation is not None and not self._admits(escalation):
            raise web.HTTPNotFound(text=f"conversation {conversation} not found")
        return self.borders.region

    def _admits(self, escalation: EscalationWaiting) -> bool:
        return self.borders.admits(
            "console",
            data=escalation.region,
            conversation=escalation.conversation,
            customer=(escalation.tenant, escalation.customer),
        )

    def _escalations(self) -> list[EscalationWaiting]:
        """Return the escalations of this region; another one's is an attempt only if its conversation is requested."""
        return [each for each in self.escalations.values.values() if each.region == self.borders.region]

    async def _entries(self) -> list[QueueEntry]:
        escalations = [await self.texts.decrypt_or_erase(entry) for entry in self._escalations()]
        queued = [_entry(item, position) for position, item in enumerate(queue(escalations, time.time()), start=1)]
        claimed = [item for item in escalations if item.escalation.claimed_by]
        return queued + [_entry(item, 0) for item in sorted(claimed, key=lambda item: item.escalation.since)]


def _entry(item: EscalationWaiting, position: int) -> QueueEntry:
    escalation = item.escalation
    return QueueEntry(
        conversation=item.conversation,
        customer=item.customer,
        tenant=item.tenant,
        urgency=escalation.urgency,
        reason=escalation.reason,
        summary=escalation.summary,
        since=escalation.since,
        due_at=escalation.due_at,
        position=position,
        claimed_by=escalation.claimed_by,
        breaches=escalation.breaches,
        last_message=item.last_message,
        messages=item.messages,
        unanswered=item.unanswered,
        gone_since=item.gone_since,
    )
