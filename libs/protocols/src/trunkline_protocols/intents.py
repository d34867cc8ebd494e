"""Names of the intents that a message may have: agents recognise them, the built-in provider replies to them."""

from __future__ import annotations

from typing import Final

GREETING: Final = "greeting"
HOW_ARE_YOU: Final = "how_are_you"
THANKS: Final = "thanks"
PRAISE: Final = "praise"
DONE: Final = "done"
GOODBYE: Final = "goodbye"
BOT: Final = "bot"
ABILITIES: Final = "abilities"
SMALL_TALK: Final = frozenset({GREETING, HOW_ARE_YOU, THANKS, PRAISE, DONE, GOODBYE, BOT, ABILITIES})
"""Messages that get a short reply and need no article."""

PERSON: Final = "person"
UPSET: Final = "upset"
EMERGENCY: Final = "emergency"
NEAR_MISS: Final = "near_miss"
"""A question whose words resemble an emergency or anger; to the fleet it is an ordinary one."""

NOT_HELPED: Final = "not_helped"
VAGUE: Final = "vague"
OFF_TOPIC: Final = "off_topic"
PERHAPS_OFF_TOPIC: Final = "perhaps_off_topic"
"""More probably an ordinary question than off topic."""
QUESTION: Final = "question"
"""An ordinary question for an agent."""
