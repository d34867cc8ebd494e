"""Words of a fleet that are no typing mistakes, although no article has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from trunkline_language.terms import tokenize
from trunkline_protocols.fleet import Fleet

_MIN_MESSAGES: Final = 2
"""Messages in which a word must occur: examples have typing mistakes too, as those of customers."""


def fleet_words(fleet: Fleet) -> list[str]:
    """Return the words that the company writes itself, and those of several messages among its examples."""
    messages = Counter(word for message in _messages(fleet) for word in set(tokenize(message)))
    found = {word for word, count in messages.items() if count >= _MIN_MESSAGES}
    found.update(word for text in _authored(fleet) for word in tokenize(text))
    return sorted(found)


def _authored(fleet: Fleet) -> Iterator[str]:
    company = fleet.company
    yield from (company.name, company.description, company.greeting, company.clarify, company.abstain)
    for agent in fleet.agents:
        yield from (agent.title, agent.description)
    for rule in fleet.escalation.rules:
        yield from (rule.say, *rule.phrases)


def _messages(fleet: Fleet) -> Iterator[str]:
    yield from fleet.company.examples
    yield from fleet.escalation.near_misses
    for agent in fleet.agents:
        yield from agent.examples
    for rule in fleet.escalation.rules:
        yield from rule.examples
