"""Replies to messages that are no question to the knowledge base, by their recognised intent."""

from __future__ import annotations

from typing import Final

_REPLIES: Final = {
    "how_are_you": "I am fine, thank you, and ready to help. What can we do for you?",
    "thanks": "You are welcome. Is there anything else that we can help with?",
    "praise": "Thank you. Is there anything else that we can help with?",
    "done": "All right. Thank you for getting in touch, and write again whenever you need us.",
    "goodbye": "Goodbye, and thank you for getting in touch.",
}
_BOT: Final = (
    "I am an automatic assistant, the {speaker}. I answer from our help articles and show which one I quote; a person "
    "takes over whenever you ask for one."
)
_ABILITIES: Final = (
    "I am the {speaker}. Ask me in your own words: I look it up in our help articles, bring in the right colleague, or "
    "call a person when you want one. What is it about?"
)


def small_talk_reply(intent: str, *, speaker: str, greeting: str) -> str | None:
    """Return the reply to a message of an intent, None if the intent is no small talk.

    `speaker` is the agent's title and company, `greeting` the company's reply to a greeting.
    """
    if intent == "greeting":
        return greeting
    text = {**_REPLIES, "bot": _BOT, "abilities": _ABILITIES}.get(intent)
    return text.replace("{speaker}", speaker or "support assistant") if text is not None else None
