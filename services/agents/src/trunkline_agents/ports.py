"""Ports of the agents: one protocol per collaborator.

Errors:
    TrainingFailedError          no routing artefact, and none could be trained
    ToolError                    the call failed and had no effect
      ToolOutcomeUnknownError    the call may have had an effect
      NothingFoundError          there is nothing under the address
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trunkline_chassis.customer_bucket import StoredCustomer
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.broadcast import NoticePublished
from trunkline_protocols.completion import Complete, CompletionReply, ToolSpec
from trunkline_protocols.consultation import Consult, ConsultCancelled, ConsultReply
from trunkline_protocols.context import Context
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.fleet import Fleet, Tool
from trunkline_protocols.ids import Instance
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed, Passage, SearchKnowledge
from trunkline_protocols.tool_steps import ToolStep, ToolStepRecorded
from trunkline_protocols.turn import AgentMessage, AnswerTurn

from trunkline_agents.core.routing.artefact import RoutingModel


class KnowledgeSearch(Protocol):
    """The knowledge service."""

    async def search(self, query: SearchKnowledge) -> list[Passage]:
        """Return the best passages; an empty list if the service is unavailable."""
        ...


class MessageAnalysisSource(Protocol):
    """The knowledge service, which has the embedder."""

    async def analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        """Return vector and language of a message; an empty analysis if the service is unavailable."""
        ...


class LanguageModel(Protocol):
    """The LLM gateway."""

    async def complete(self, request: Complete) -> CompletionReply:
        """Return a completion or a refusal; cancelling the call stops the provider."""
        ...


class ResultSink(Protocol):
    """The conversation processes that wait for results."""

    async def report(self, recipient: Instance, message: AgentMessage) -> None:
        """Send a message to a conversation process, at most once: its timeouts cover a loss."""
        ...


class Consultations(Protocol):
    """Consultations between agent processes."""

    async def request(self, consult: Consult) -> None:
        """Append a request to the work queue of its specialty."""
        ...

    async def cancel(self, specialty: str, cancelled: ConsultCancelled) -> None:
        """Notify all processes of a specialty, at most once: the request's deadline covers a loss."""
        ...

    async def reply(self, recipient: Instance, reply: ConsultReply) -> None:
        """Send progress or the result to the requester, at most once: its timeout covers a loss."""
        ...


class QueueAges(Protocol):
    """The work queue, whose server dates its messages."""

    async def age_s(self, stored_at: float) -> float | None:
        """Return the seconds since a message was stored at a time of the server; None if it does not answer."""
        ...


class NoticeSource(Protocol):
    """Active broadcasts."""

    def for_agents(self, *, tenant: str, specialty: str) -> list[NoticePublished]:
        """Return the active notices for agents of a specialty, oldest first."""
        ...


class TrainingFailedError(RuntimeError):
    """The trainer ended without an artefact; the message is the end of its error output."""


class ArtefactStore(Protocol):
    """Store of routing artefacts."""

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        """Return the artefact of a version, trained if missing; raise `TrainingFailedError` if training fails."""
        ...


class ToolError(Exception):
    """A tool refused the call or could not be reached, without effect. The message is for the model."""

    quotes_input = True


class ToolOutcomeUnknownError(ToolError):
    """The call may or may not have taken effect."""


class NothingFoundError(ToolError):
    """The server knows nothing under this address."""


class ToolClient(Protocol):
    """Client for one kind of external tool."""

    async def specs(self, tool: Tool) -> list[ToolSpec]:
        """Return the specifications to offer to the model; raise `ToolError` if they cannot be read."""
        ...

    async def call(self, tool: Tool, name: str, arguments: dict[str, Any], key: str) -> str:
        """Execute a call and return its result; `key` is its idempotency key. Raises `ToolError`."""
        ...


class FactClient(Protocol):
    """Client for one kind of reader."""

    async def fetch(self, tool: Tool, name: str, arguments: dict[str, Any]) -> str:
        """Return the whole answer to one call; raise `ToolError` if it does not come."""
        ...


class CustomerStore(Protocol):
    """Customers in KV CUSTOMERS, by subject."""

    async def load(self, key: str) -> StoredCustomer:
        """Return the stored value."""
        ...

    async def replace(self, key: str, known: CustomerKnown, revision: int) -> None:
        """Store a value behind `revision`; raise `FenceError` if there is a later one."""
        ...

    async def update(self, key: str, change: Callable[[StoredCustomer], CustomerKnown | None]) -> CustomerKnown:
        """Store the change of the last value, again after a conflict; return the value then."""
        ...


class SchemaChecker(Protocol):
    """Check of arguments against schemas of external tools, which may be hostile."""

    async def find_violation(self, schema: dict[str, Any], arguments: dict[str, Any]) -> str:
        """Return the reason for a mismatch, an empty string for a match; raise `ToolError` after the time limit."""
        ...


class CallLimits(Protocol):
    """Count of tool calls per customer and day."""

    async def admit(self, tool: Tool, context: Context, key: str) -> None:
        """Count a call; raise `ToolError` if it exceeds the tool's limit or cannot be counted.

        `key` is the call's idempotency key: another attempt at the same call is not counted again.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolPorts:
    """Everything that executes external tools."""

    clients: Mapping[str, ToolClient]
    """Clients by the kind of tool."""
    schemas: SchemaChecker
    limits: CallLimits
    borders: BorderGuard


class ToolLedger(Protocol):
    """Persistent record of the tool steps of turns."""

    async def steps(self, request: AnswerTurn) -> list[ToolStepRecorded]:
        """Return the recorded steps of a turn, in order."""
        ...

    async def begin(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> ToolStepRecorded:
        """Record a step before its execution; return the one that another attempt has recorded first, if any."""
        ...

    async def end(self, request: AnswerTurn, number: int, step: ToolStep, by: str) -> None:
        """Record the outcomes of a step."""
        ...
