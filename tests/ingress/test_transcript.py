"""Transcript of a conversation for people at the desk."""

from __future__ import annotations

import msgspec
from trunkline_ingress.core.transcript import transcript

from tests.ingress.conversation_simulator import simulate


def test_answer_has_the_title_of_its_agent_and_a_text_of_the_system_has_none() -> None:
    """The console tells them apart by it."""
    stored = simulate(["message", "answer"]).commits[-1]
    (answer,) = stored.commit.events
    titles = []
    for title in ("Refunds specialist", ""):
        event = msgspec.structs.replace(answer, title=title)
        commit = msgspec.structs.replace(stored.commit, events=[event])
        entries, _ = transcript([msgspec.structs.replace(stored, commit=commit)])
        titles.append([(entry.role, entry.title) for entry in entries])
    assert titles == [[("customer", ""), ("agent", "Refunds specialist")], [("customer", ""), ("agent", "")]]
