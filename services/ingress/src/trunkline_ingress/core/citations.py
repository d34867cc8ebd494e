"""Citations of a conversation: which article versions were quoted, and by which specialties."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_protocols.log import CommitStored, Consulted, TurnAnswered


def citing_specialties(commits: Iterable[CommitStored], document: str, rev: int) -> list[str]:
    """Return the specialties of the answers that cite an article, with those that they consulted.

    A citation of any version counts if `rev` is 0, the latest one, else a citation of that version.
    """
    found: set[str] = set()
    for commit in (stored.commit for stored in commits):
        for event in commit.events:
            if isinstance(event, TurnAnswered) and any(
                citation.document == document and rev in {0, citation.rev} for citation in event.citations
            ):
                found.add(event.specialty)
                found.update(part.specialty for part in commit.events if isinstance(part, Consulted))
    return sorted(found)
