"""Transcript of a conversation for people at the desk: every message and internal note, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import Role
from trunkline_protocols.log import Closed, CommitStored, CustomerReplied, NoteAdded, PersonReplied, TurnAnswered

TranscriptRole: TypeAlias = Role | Literal["note"]
"""Author of an entry; `note` is an internal note of a person."""


class TranscriptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One message; `at` in Unix seconds. `author` is an agent or a person, empty for the customer."""

    role: TranscriptRole
    text: str
    at: float
    author: str = ""
    specialty: str = ""
    title: str = ""
    """The agent's title; empty for people and for texts of the system."""
    citations: list[Citation] = []


def transcript(commits: Iterable[CommitStored]) -> tuple[list[TranscriptEntry], bool]:
    """Return all messages and notes of a log, and whether the conversation is closed."""
    entries: list[TranscriptEntry] = []
    closed = False
    for commit in (stored.commit for stored in commits):
        for event in commit.events:
            match event:
                case TurnAnswered():
                    entries.append(TranscriptEntry(role="customer", text=event.text, at=event.received_at))
                    entries.append(
                        TranscriptEntry(
                            role="agent",
                            text=event.answer,
                            at=commit.at,
                            author=event.agent,
                            specialty=event.specialty,
                            title=event.title,
                            citations=event.citations,
                        )
                    )
                case CustomerReplied(text=text, received_at=at):
                    entries.append(TranscriptEntry(role="customer", text=text, at=at))
                case PersonReplied(text=text, person=person):
                    entries.append(TranscriptEntry(role="person", text=text, at=commit.at, author=person))
                case NoteAdded(text=text, person=person):
                    entries.append(TranscriptEntry(role="note", text=text, at=commit.at, author=person))
                case Closed():
                    closed = True
                case _:
                    pass
    return entries, closed
