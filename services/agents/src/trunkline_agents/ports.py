"""What an agent needs from the outside."""

from __future__ import annotations

from typing import Protocol

from trunkline_protocols.completion import Complete, CompletionReply
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import Passage, SearchKnowledge
from trunkline_protocols.turn import AgentMessage


class Colleagues(Protocol):
    """The services that an agent works with."""

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        """Find passages; empty when the knowledge base cannot be reached (the answer goes without)."""
        ...

    async def complete(self, order: Complete) -> CompletionReply:
        """Have the answer written."""
        ...

    async def report(self, owner: Instance, message: AgentMessage) -> None:
        """Tell the conversation process that waits; may be lost, it watches."""
        ...
