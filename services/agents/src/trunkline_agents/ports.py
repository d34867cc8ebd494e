"""What an agent needs from the outside."""

from __future__ import annotations

from typing import Any, Protocol

from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import Complete, CompletionReply, ToolSpec, ToolStep, ToolStepNoted
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.fleet import Fleet, Tool
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import Passage, SearchKnowledge
from trunkline_protocols.turn import AgentMessage, AnswerTurn

from trunkline_agents.core.routing.artefact import RoutingModel


class Colleagues(Protocol):
    """The services that an agent works with."""

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        """Find passages; empty when the knowledge base cannot be reached (the answer goes without)."""
        ...

    async def complete(self, request: Complete) -> CompletionReply:
        """Have the answer written."""
        ...

    async def report(self, owner: Instance, message: AgentMessage) -> None:
        """Tell the conversation process that waits; may be lost, it watches."""
        ...

    async def consult(self, question: Consult) -> None:
        """Put a question into the queue of a specialty."""
        ...

    async def cancel_consult(self, specialty: str, cancelled: ConsultCancelled) -> None:
        """Tell a specialty that nobody waits any more; may be lost, the deadline passes."""
        ...

    async def advise(self, asker: Instance, reply: ConsultReply) -> None:
        """Answer whoever asked; may be lost, the asker's timer runs."""
        ...


class NoticeSource(Protocol):
    """The broadcasts that this process knows."""

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        """Notices in force for agents of a specialty, the latest last."""
        ...


class TrainingFailedError(RuntimeError):
    """The trainer ended without an artefact; the message holds its last words."""


class ArtefactStore(Protocol):
    """Where routing artefacts are kept."""

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        """Return the artefact of this version; raise `TrainingFailedError` when there is none and none can be made."""
        ...


class ToolFailure(Exception):  # noqa: N818 - an answer to the model, not a defect
    """A tool said no, or could not be asked: nothing was done. The message is for the model."""


class UnknownOutcome(ToolFailure):
    """Nobody knows whether it was done."""


class Tools(Protocol):
    """Outside things of one kind."""

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """What the model is told of it; raises `ToolFailure`."""
        ...

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Carry out one call and return what it said; `key` is the same on every try. Raises `ToolFailure`."""
        ...


class ToolLedger(Protocol):
    """What was done for a turn, kept beyond this process."""

    async def steps(self, request: AnswerTurn) -> list[ToolStepNoted]:
        """The steps so far, in order."""
        ...

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepNoted:
        """Note a step before it is done; returns the one that is noted already, if any."""
        ...

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        """Note what came of it."""
        ...
