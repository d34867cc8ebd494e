"""Run the conversation service."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_conversation.app import NAME, service
from trunkline_conversation.settings import ConversationSettings

if __name__ == "__main__":
    run(NAME, load_settings(ConversationSettings), service, watches_presences=True)
