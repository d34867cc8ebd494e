"""Small talk: what is no question to the knowledge base and still deserves an answer, as a person would give it.

Thanks, goodbyes, and who one is talking to. The whole message must be that and nothing else: a thank-you with a
question behind it is a question. A greeting is left to the words that the company greets with.
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


def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{_POLITE}(?:{pattern}){_END}", re.IGNORECASE)


_THANKED, _LEFT, _ASKED_WHO, _ASKED_WHAT = (_whole(pattern) for pattern in (_THANKS, _BYE, _WHO, _ABILITIES))


def reply_to(text: str, *, speaker: str) -> str | None:
    """Answer small talk; None for everything else. `speaker` is who answers: a title and its company."""
    said = " ".join(text.split())
    if _THANKED.fullmatch(said):
        return "You are welcome. Is there anything else that we can help with?"
    if _LEFT.fullmatch(said):
        return "Goodbye, and thank you for getting in touch."
    if not speaker:
        return None
    if _ASKED_WHO.fullmatch(said):
        return (
            f"I am an automatic assistant, the {speaker}. I answer from our help articles and show which one I quote; "
            "a person takes over whenever you ask for one."
        )
    if _ASKED_WHAT.fullmatch(said):
        return (
            f"I am the {speaker}. Ask me in your own words: I look it up in our help articles, bring in the right "
            "colleague, or call a person when you want one."
        )
    return None
