"""Turns to review: questions without an answer, low ratings, and turns that reached the wrong specialty."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import Commit, Escalated, HandedOff, OwnerAssigned, TurnAnswered

MAX_LOW_RATING: Final = 2

ReviewKind: TypeAlias = Literal["unanswered", "low_rating", "misroute"]


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One turn or rating; `at` in Unix seconds. `reason` and `text` may hold words of the customer."""

    kind: ReviewKind
    conversation: str
    turn: str = ""
    at: float
    tenant: str = ""
    specialty: str = ""
    """Specialty that answered, or that the turn left."""
    to: str = ""
    """Specialty that the turn was moved to."""
    rating: int = 0
    """1 to 5, 0 for a turn."""
    reason: str = ""
    text: str = ""
    """The customer's message, or the text of a rating."""

    def without_texts(self) -> ReviewItem:
        """Return the item without words of the customer."""
        return msgspec.structs.replace(self, reason="", text="")


class LastAnswer(NamedTuple):
    """The last answer in a conversation."""

    specialty: str
    tenant: str
    text: str
    """The customer's message."""
    abstained: bool


def last_answer(commit: Commit) -> LastAnswer | None:
    """Return the answer that a commit holds, None without one."""
    for event in commit.events:
        if isinstance(event, TurnAnswered):
            return LastAnswer(event.specialty, commit.tenant, event.text, event.abstained)
    return None


def items_of_commit(commit: Commit, before: LastAnswer | None) -> list[ReviewItem]:
    """Return the items of a commit; `before`: the conversation's answer before it.

    A turn is misrouted if the specialty that triage chose hands it off or escalates it at once. An escalation after an
    unanswered turn counts as well.
    """
    items: list[ReviewItem] = []
    is_routed = any(isinstance(event, OwnerAssigned) for event in commit.events)
    for event in commit.events:
        match event:
            case TurnAnswered(abstained=True):
                items.append(_item("unanswered", commit, specialty=event.specialty, text=event.text))
            case HandedOff() if is_routed:
                items.append(_item("misroute", commit, specialty=event.from_, to=event.to, reason=event.reason))
            case Escalated() if is_routed:
                items.append(_item("misroute", commit, specialty=event.from_, to="escalation", reason=event.reason))
            case Escalated() if before is not None and before.abstained:
                items.append(
                    _item("misroute", commit, specialty=before.specialty, to="escalation", reason=event.reason)
                )
            case _:
                pass
    return items


def item_of_rating(feedback: FeedbackGiven, last: LastAnswer | None) -> ReviewItem | None:
    """Return the item of a rating, None for a good one; `last`: the conversation's last answer."""
    if feedback.rating > MAX_LOW_RATING:
        return None
    return ReviewItem(
        kind="low_rating",
        conversation=feedback.conversation,
        at=feedback.received_at,
        tenant=last.tenant if last is not None else "",
        specialty=last.specialty if last is not None else "",
        rating=feedback.rating,
        text=feedback.text or (last.text if last is not None else ""),
    )


def _item(
    kind: ReviewKind, commit: Commit, *, specialty: str, to: str = "", reason: str = "", text: str = ""
) -> ReviewItem:
    return ReviewItem(
        kind=kind,
        conversation=commit.conversation,
        turn=commit.turn,
        at=commit.at,
        tenant=commit.tenant,
        specialty=specialty,
        to=to,
        reason=reason,
        text=text,
    )
