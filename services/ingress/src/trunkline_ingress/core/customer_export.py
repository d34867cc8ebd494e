"""A customer's data as one document: the known data, and every conversation with its messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import CommitStored, Started

from trunkline_ingress.core.customer_view import CustomerView
from trunkline_ingress.core.transcript import TranscriptEntry, transcript

ExportSource: TypeAlias = Literal["index", "log"]
"""Where the conversations were found: by the index of the audit trail, or by reading the log of the region."""


class ExportedRating(msgspec.Struct, frozen=True, kw_only=True):
    """A rating of a conversation, 1 to 5; `at` in Unix seconds."""

    rating: int
    text: str
    at: float


class ExportedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; times in Unix seconds. Erased texts are `[erased]`."""

    conversation: str
    started_at: float
    channel: str
    locale: str
    tier: str
    closed: bool
    messages: list[TranscriptEntry]
    ratings: list[ExportedRating]


class CustomerExport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is stored of a customer in one region."""

    customer: str
    tenant: str
    region: str
    exported_at: float
    known: CustomerView | None
    """Facts, claims and the end of the last conversation; null if nothing is known."""
    conversations: list[ExportedConversation]
    source: ExportSource
    note: str
    """What may be missing, and why; empty if nothing is."""


def exported_conversations(
    commits: Iterable[CommitStored], ratings: Iterable[FeedbackGiven]
) -> list[ExportedConversation]:
    """Return the conversations in the order of their first commits."""
    logs: dict[str, list[CommitStored]] = {}
    for stored in commits:
        logs.setdefault(stored.commit.conversation, []).append(stored)
    rated: dict[str, list[ExportedRating]] = {}
    for feedback in ratings:
        rating = ExportedRating(rating=feedback.rating, text=feedback.text, at=feedback.received_at)
        rated.setdefault(feedback.conversation, []).append(rating)
    return [_exported(name, log, rated.get(name, [])) for name, log in logs.items()]


def _exported(conversation: str, log: list[CommitStored], ratings: list[ExportedRating]) -> ExportedConversation:
    messages, closed = transcript(log)
    first = log[0].commit
    started = next((event for event in first.events if isinstance(event, Started)), None)
    return ExportedConversation(
        conversation=conversation,
        started_at=first.at,
        channel=started.channel if started is not None else "",
        locale=started.locale if started is not None else "",
        tier=started.tier if started is not None else "",
        closed=closed,
        messages=messages,
        ratings=ratings,
    )
