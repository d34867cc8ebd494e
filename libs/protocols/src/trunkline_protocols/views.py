"""Message in stream VIEWS: an operator has read a conversation."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.wire import Wire

View = Literal["desk", "trace"]
"""The form in which a conversation was read: its transcript at the desk, or its trace."""


class ConversationViewed(Wire, frozen=True, kw_only=True, tag="conversation.viewed"):
    """An operator was shown the texts of a conversation; once a minute while a page shows it."""

    conversation: ConversationId
    view: View
    operator: str
    """Name of the operator's key; empty for the shared token."""
    role: str
    at: float
