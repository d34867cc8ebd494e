"""Authored replies with the customer's own facts: which one a message gets, if any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent, AuthoredReply, Fleet
from trunkline_protocols.rules.facts import active_readers, filled, value_of

_WORD: Final = re.compile(r"[^\W_]+")


def authored_reply(agent: Agent, text: str, context: Context) -> str:
    """Return the agent's reply to a message; an empty string if it has none, or if its facts are not known."""
    for reply in agent.replies:
        answer = _answer(reply, text, context)
        if answer:
            return answer
    return ""


def replying_agent(fleet: Fleet, text: str, addresses: Mapping[str, str], specialty: str) -> Agent | None:
    """Return the agent that a message with a number belongs to, whether or not the facts are known yet.

    Without a number in its form the words alone decide, and routing knows more about them. Tables of a reader that
    rests, because none of the operator's `addresses` is its own, do not count. An agent of `specialty` is preferred.
    """
    if not any(agent.replies for agent in fleet.agents):
        return None
    read = {name for reader in active_readers(fleet, addresses) for name in reader.fields}
    found = [
        agent for agent in fleet.agents if any(reply.table in read and _numbers(reply, text) for reply in agent.replies)
    ]
    return min(found, key=lambda agent: agent.specialty != specialty, default=None)


def _answer(reply: AuthoredReply, text: str, context: Context) -> str:
    if not reply.number:
        return (filled(reply.text, context) or "") if _has_phrase(reply, text) else ""
    rows = value_of(f"facts.{reply.table}", context)
    numbers = _numbers(reply, text)
    if not numbers or not isinstance(rows, dict):
        return ""
    known = {key.upper(): row for key, row in rows.items()}
    texts = [
        filled(
            reply.text if number in known else reply.unknown, context, {"number": number, "row": known.get(number, "")}
        )
        for number in numbers
    ]
    return " ".join(filter(None, texts))


def _numbers(reply: AuthoredReply, text: str) -> list[str]:
    """Return the numbers in the form of the reply that a message names, each once; none without a phrase."""
    if not reply.number or not _has_phrase(reply, text):
        return []
    return list(dict.fromkeys(match.upper() for match in _form(reply.number).findall(text)))


def _has_phrase(reply: AuthoredReply, text: str) -> bool:
    words = _words(text)
    return any(_words(phrase) in words for phrase in reply.phrases)


def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "


@lru_cache(maxsize=256)
def _form(number: str) -> re.Pattern[str]:
    """Return the pattern of a form, in which `#` is a digit."""
    pattern = "".join("[0-9]" if character == "#" else re.escape(character) for character in number)
    return re.compile(rf"(?<![\w-]){pattern}(?![\w-])", re.IGNORECASE)
