"""Replies to messages that are no question to the knowledge base, by their recognised intent."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.intents import ABILITIES, BOT, DONE, GOODBYE, GREETING, HOW_ARE_YOU, PRAISE, THANKS

_REPLIES: Final = {
    HOW_ARE_YOU: "I am fine, thank you, and ready to help. What can we do for you?",
    THANKS: "You are welcome. Is there anything else that we can help with?",
    PRAISE: "Thank you. Is there anything else that we can help with?",
    DONE: "All right. Thank you for getting in touch, and write again whenever you need us.",
    GOODBYE: "Goodbye, and thank you for getting in touch.",
}
_BOT_REPLY: Final = (
    "I am an automatic assistant, the {speaker}. I answer from our help articles and show which one I quote; a person "
    "takes over whenever you ask for one."
)
_ABILITIES_REPLY: Final = (
    "I am the {speaker}. Ask me in your own words: I look it up in our help articles, bring in the right colleague, or "
    "call a person when you want one. What is it about?"
)


def small_talk_reply(intent: str, *, speaker: str, greeting: str) -> str | None:
    """Return the reply to a message of an intent, None if the intent is no small talk.

    `speaker` is the agent's title and company, `greeting` the company's reply to a greeting.
    """
    if intent == GREETING:
        return greeting
    text = {**_REPLIES, BOT: _BOT_REPLY, ABILITIES: _ABILITIES_REPLY}.get(intent)
    return text.replace("{speaker}", speaker or "support assistant") if text is not None else None
