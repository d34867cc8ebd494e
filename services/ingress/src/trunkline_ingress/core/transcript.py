"""A conversation as a person reads it: everything that was said, in order."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import Role
from trunkline_protocols.log import Closed, CommitStored, CustomerSaid, PersonReplied, TurnAnswered


class TranscriptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said; `at` in Unix seconds. `who` is an agent, a person, or empty for the customer."""

    role: Role
    text: str
    at: float
    who: str = ""
    specialty: str = ""
    citations: list[Citation] = []


def transcript(commits: Iterable[CommitStored]) -> tuple[list[TranscriptEntry], bool]:
    """Tell everything that was said, and whether the conversation has ended."""
    said: list[TranscriptEntry] = []
    closed = False
    for commit in (stored.commit for stored in commits):
        for event in commit.events:
            match event:
                case TurnAnswered():
                    said.append(TranscriptEntry(role="customer", text=event.customer_text, at=event.received_at))
                    said.append(
                        TranscriptEntry(
                            role="agent",
                            text=event.text,
                            at=commit.at,
                            who=event.agent,
                            specialty=event.specialty,
                            citations=event.citations,
                        )
                    )
                case CustomerSaid(text=text, received_at=at):
                    said.append(TranscriptEntry(role="customer", text=text, at=at))
                case PersonReplied(text=text, person=person):
                    said.append(TranscriptEntry(role="person", text=text, at=commit.at, who=person))
                case Closed():
                    closed = True
                case _:
                    pass
    return said, closed
