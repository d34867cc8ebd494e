"""Queries to the knowledge base."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent
from trunkline_protocols.knowledge import SearchKnowledge
from trunkline_protocols.rules.locale import language_of

from trunkline_agents.core.follow_up import FollowUp

_MAX_PASSAGES: Final = 6
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
    )
