"""Trace steps of the inbox: messages of the customer and commands of the desk."""

from __future__ import annotations

from typing import assert_never

from trunkline_protocols.desk import AddNote, Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.inbox import EndRequested, FeedbackGiven, TurnReceived, WaitCancelled
from trunkline_protocols.streams import INBOX

from trunkline_ingress.core.trace.steps import Detail, InboxEntry, TraceStep, fields_of, tag_of


def step_of_message(entry: InboxEntry) -> TraceStep:
    """Return the step of one inbox message."""
    message = entry.message
    detail: Detail = {"inbox_seq": entry.sequence}
    sender = "customer"
    match message:
        case TurnReceived():
            detail |= {"id": message.message_id, "seq": message.seq, "text": message.text, "channel": message.channel}
            detail |= {"customer": message.customer, "tenant": message.tenant, "tier": message.tier}
            detail |= {"verified": message.verified, "locale": message.locale, "ingress": message.ingress}
            detail |= {"wants_person": True} if message.wants_person else {}
            summary = f"Customer {'requested a person' if message.wants_person else 'message'}: {message.text}"
        case FeedbackGiven():
            detail |= {"rating": message.rating, "text": message.text}
            summary = f"Customer rated the conversation {message.rating} of 5"
            summary += f": {message.text}" if message.text else ""
        case EndRequested():
            summary = "Customer ended the conversation"
        case WaitCancelled():
            summary = "Customer asked to leave the queue"
        case Claim() | Reply() | HandBack() | AddNote() | Close():
            sender = f"person {message.person}"
            summary = _summary_of_command(message)
            detail |= fields_of(message)
        case _:
            assert_never(message)
    at = message.at if isinstance(message, DeskMessage) else message.received_at
    return TraceStep(
        at=at,
        from_=sender,
        to="conversation",
        subject=entry.subject,
        type=tag_of(message),
        summary=summary,
        detail=detail,
        stream=INBOX.name,
        sequence=entry.sequence,
    )


def _summary_of_command(command: DeskMessage) -> str:
    match command:
        case Claim():
            return f"{command.person} requested to claim the conversation"
        case Reply():
            return f"{command.person} sent a reply: {command.text}"
        case HandBack():
            return f"{command.person} requested to hand the conversation back: {command.note or 'no note'}"
        case AddNote():
            return f"{command.person} sent an internal note: {command.text}"
        case Close():
            return f"{command.person} requested to close the conversation: {command.reason}"
        case _:
            assert_never(command)
