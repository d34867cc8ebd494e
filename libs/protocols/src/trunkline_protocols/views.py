"""Message in stream VIEWS: an operator has read a conversation."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.wire import Wire

View = Literal["desk", "trace", "queue", "review", "customer", "export"]
"""The form in which a conversation was read.

`desk`: its transcript; `trace`: its trace; `queue`, `review`: a message of it in a list; `customer`: its last messages
with the customer's data; `export`: an export of the customer's data.
"""


class ConversationViewed(Wire, frozen=True, kw_only=True, tag="conversation.viewed"):
    """An operator was shown texts of a conversation; once a minute while a page shows it, once an hour in a list."""

    conversation: ConversationId
    view: View
    operator: str
    """Name of the operator's key; empty for the shared token."""
    role: str
    at: float
