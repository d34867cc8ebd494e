"""Facts about a conversation that are derived from its transcript alone."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.context import Utterance
from trunkline_protocols.fleet import TRIAGE


def clarification_count(transcript: Sequence[Utterance]) -> int:
    """Count triage's answers (greetings and clarifying questions) since the last answer of another specialty."""
    count = 0
    for utterance in reversed(transcript):
        if utterance.role == "agent":
            if utterance.specialty != TRIAGE:
                break
            count += 1
    return count


def previous_owner(transcript: Sequence[Utterance]) -> str:
    """Return the specialty of the second to last answer; empty if it is the same as the last one's."""
    owners = [utterance.specialty for utterance in transcript if utterance.role == "agent" and utterance.specialty]
    return owners[-2] if len(owners) > 1 and owners[-2] != owners[-1] else ""


def undelivered_notices(notices: Sequence[NoticePublished], transcript: Sequence[Utterance]) -> list[NoticePublished]:
    """Return the notices that no answer of this conversation contains yet."""
    answers = "\n".join(utterance.text for utterance in transcript if utterance.role == "agent")
    return [notice for notice in notices if notice.text not in answers]
