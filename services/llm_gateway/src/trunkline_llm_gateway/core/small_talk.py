"""Small talk: replies to messages that are no question to the knowledge base.

Thanks, goodbyes, and questions about the assistant itself. The whole message must match: a thank-you followed by a
question is a question. Greetings are left to the company's own greeting.
"""

from __future__ import annotations

import re
from typing import Final

_POLITE: Final = r"(?:(?:ok|okay|alright|great|perfect|super|wonderful|good|cool|yes|no|ah|oh|hi|hello|hey)[\s,.!]+)*"
_END: Final = r"[\s.!?]*"
_WISH: Final = r"have a (?:nice|good|great) (?:day|evening|one)"
_THANKS: Final = (
    r"(?:many |special )?(?:thanks|thank you|thank u|thx|cheers|ty)"
    r"(?: so much| very much| a lot| a million| again)?"
    r"(?: for (?:your|the|all your) help| to you)?"
    rf"(?:[\s,.!]+(?:that helped|that helps|that is all|that's all|that was all|{_WISH}))?"
)
_BYE: Final = rf"(?:good ?bye|bye(?: bye)?|see you(?: later| soon)?|until next time|{_WISH})"
_WHO: Final = (
    r"(?:who|what) are you|who is this|who am i (?:talking|speaking|chatting) (?:to|with)"
    r"|what(?:'s| is) your name|do you have a name|can i (?:ask|have|know) your name"
    r"|are you (?:a |an |some )?(?:real |live )?(?:ai|bot|robot|chatbot|machine|computer|human|person|human being)"
    r"(?: or (?:a |an )?(?:ai|bot|robot|human|person|machine|real person))?"
    r"|am i (?:talking|speaking|chatting) (?:to|with) (?:a |an )?(?:real )?"
    r"(?:ai|bot|robot|machine|computer|human|person)"
)
_ABILITIES: Final = (
    r"what (?:can|do) you do|what can you help (?:me )?with|how can you help(?: me)?|what am i allowed to ask(?: you)?"
    r"|what (?:can|may|should) i ask(?: you)?|what are you able to do"
)


def _whole_message(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{_POLITE}(?:{pattern}){_END}", re.IGNORECASE)


_THANKS_ONLY, _BYE_ONLY, _WHO_ONLY, _ABILITIES_ONLY = (
    _whole_message(pattern) for pattern in (_THANKS, _BYE, _WHO, _ABILITIES)
)


def small_talk_reply(text: str, *, speaker: str) -> str | None:
    """Return a reply to small talk, None for other messages; `speaker` is the agent's title and company."""
    normalised = " ".join(text.split())
    if _THANKS_ONLY.fullmatch(normalised):
        return "You are welcome. Is there anything else that we can help with?"
    if _BYE_ONLY.fullmatch(normalised):
        return "Goodbye, and thank you for getting in touch."
    if not speaker:
        return None
    if _WHO_ONLY.fullmatch(normalised):
        return (
            f"I am an automatic assistant, the {speaker}. I answer from our help articles and show which one I quote; "
            "a person takes over whenever you ask for one."
        )
    if _ABILITIES_ONLY.fullmatch(normalised):
        return (
            f"I am the {speaker}. Ask me in your own words: I look it up in our help articles, bring in the right "
            "colleague, or call a person when you want one."
        )
    return None
