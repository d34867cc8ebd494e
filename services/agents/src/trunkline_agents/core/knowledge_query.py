"""Queries to the knowledge base."""

from __future__ import annotations

from typing import Final

from trunkline_language.terms import tokenize
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import TRIAGE, Agent, Fleet
from trunkline_protocols.knowledge import SearchKnowledge
from trunkline_protocols.rules.locale import language_of
from trunkline_protocols.turn import AnswerTurn

from trunkline_agents.core.follow_up import FollowUp, follow_up_of

_MAX_PASSAGES: Final = 6
_MIN_WORDS: Final = 3
"""Shorter messages are mostly small talk, for which nothing is searched."""
_NO_FOLLOW_UP: Final = FollowUp()


def knowledge_query(
    text: str, context: Context, agent: Agent, *, vector: bytes = b"", follow_up: FollowUp = _NO_FOLLOW_UP
) -> SearchKnowledge:
    """Restrict a search to the customer's region and language, and to the agent's specialty and topics.

    `vector` is the message vector of `text`, if it is known. Internal articles are excluded, since every passage may be
    quoted.
    """
    return SearchKnowledge(
        query=text,
        tenant=context.tenant,
        topics=agent.knowledge.topics,
        limit=_MAX_PASSAGES,
        region=context.region,
        language=language_of(context.locale),
        specialty=agent.specialty,
        vector=vector,
        earlier=follow_up.question,
        focus=follow_up.documents,
        excluded_topics=context.excluded_topics,
    )


def anticipated_query(request: AnswerTurn, fleet: Fleet) -> SearchKnowledge | None:
    """Return the query that an ordinary question to the present owner will need; None if that cannot be told."""
    owners = [agent for agent in fleet.of(request.specialty) if agent.name == request.agent]
    if not owners or request.specialty == TRIAGE or len(tokenize(request.text)) < _MIN_WORDS:
        return None
    follow_up = follow_up_of(request.text, request.context.transcript)
    return knowledge_query(request.text, request.context, owners[0], follow_up=follow_up)
