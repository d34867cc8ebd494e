"""Queries to the knowledge base."""

from __future__ import annotations

from typing import Final

from trunkline_language.terms import tokenize
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent
from trunkline_protocols.knowledge import SearchKnowledge
from trunkline_protocols.rules.locale import language_of

from trunkline_agents.core.routing.router import MIN_WORDS

_MAX_PASSAGES: Final = 5


def search_text(text: str, context: Context) -> str:
    """Return the text to search for; a short follow-up is prefixed with the customer's previous message."""
    if len(tokenize(text)) >= MIN_WORDS:
        return text
    earlier = [utterance.text for utterance in context.transcript if utterance.role == "customer"]
    return f"{earlier[-1]} {text}" if earlier else text


def knowledge_query(text: str, context: Context, agent: Agent) -> SearchKnowledge:
    """Restrict a search to the customer's region and language, and to the agent's specialty and topics.

    Internal articles are excluded, since every passage may be quoted.
    """
    return SearchKnowledge(
        query=text,
        tenant=context.tenant,
        topics=agent.knowledge.topics,
        limit=_MAX_PASSAGES,
        region=context.region,
        language=language_of(context.locale),
        specialty=agent.specialty,
    )
