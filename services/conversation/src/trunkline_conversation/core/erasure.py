"""End of a conversation whose texts are erased: the key of its customer is destroyed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
from trunkline_protocols.log import Closed
from trunkline_protocols.texts import ERASED

from trunkline_conversation.core.decisions import system_answer
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Turn

REASON: Final = "the customer's data was erased"
ANSWER: Final = (
    "Your data was erased, and this conversation has ended. Please start a new one, and we will gladly help."
)


def end_erased(state: Conversation, turn: Turn | None) -> Append | None:
    """Close the conversation, and answer the message of `turn`, whose text is not kept; None if nothing is open."""
    append = Append("closed", [], state.owner, state.agent, state.epoch)
    if turn is not None:
        # An accepted message always gets a reply.
        message = msgspec.structs.replace(turn.message, text=ERASED)
        append = system_answer(state, replace(turn, message=message), ANSWER)
    if not state.closed:
        append = replace(append, kind="closed", events=[*append.events, Closed(reason=REASON)])
    return append if append.events else None
