"""A fleet as data: the company, its agents, when it escalates. Versioned in KV FLEET, checked whole, refused whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from trunkline_protocols.context import Urgency
from trunkline_protocols.escalation import Level
from trunkline_protocols.wire import Record, Wire

TRIAGE = "triage"
ESCALATION = "escalation"

Slug = Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$")]
Line = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0)]
FleetOrigin = Literal["start", "apply", "rollback"]
"""How a fleet came into force: seeded when the suite started, applied by hand, or an older one taken back."""


BUILT_IN_TOOLS = ("search_knowledge", "consult", "escalate", "handoff")
"""Tools that are the fleet's own protocols; they need no declaration."""

ToolName = Annotated[str, Meta(pattern="^[a-z0-9_-]{1,40}$")]


class Tool(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outside thing that agents' models may use: one HTTP call, or the tools of one MCP server."""

    name: ToolName
    description: Line
    kind: Literal["http", "mcp"] = "http"
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: str = ""
    """Of the call, with `{argument}` where one belongs into the path; of the MCP server."""
    command: list[Line] = []
    """Starts an MCP server that talks over its standard input and output."""
    allow: list[Line] = []
    """Tools of the MCP server that may be used; empty: all."""
    parameters: dict[str, Any] = {}
    """JSON schema of the arguments; empty: none. An MCP server tells its own."""
    timeout_s: Seconds = 5.0
    writes: bool = False
    """Whether it changes anything: then it is carried out once for a turn, however often the turn is tried."""
    idempotent: bool = True
    """Whether the server keeps its word about `Idempotency-Key`: then a try whose end is unknown is repeated."""
    secret: str = ""
    """Name of the secret that goes along as bearer token; its value stands in TRUNKLINE_SECRET_<NAME>."""


class Company(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the fleet works for, and what it says when no article helps."""

    name: Line
    description: Line
    greeting: Line
    clarify: Line
    abstain: Line
    examples: Annotated[list[Line], Meta(min_length=1)]


class KnowledgeFilter(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which articles an agent may use: those with one of these topics."""

    topics: Annotated[list[Slug], Meta(min_length=1)]


class Agent(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One specialised agent."""

    name: Slug
    specialty: Slug
    title: Line
    description: Line
    tone: Line
    hand_off_to: list[Slug]
    examples: Annotated[list[Line], Meta(min_length=10)]
    knowledge: KnowledgeFilter
    conversations: list[Line] = []
    """Conversations whose last message is for this agent, each in lines of `speaker: text`; the customer speaks first.
    """
    consult: list[Slug] = []
    """Specialties that this agent asks for advice when a message touches their field too."""
    tools: list[ToolName] = []
    """What its model may ask for: built-in tools, and those that the fleet declares."""


class EscalationRule(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer who says one of `phrases` is escalated with this urgency."""

    name: Slug
    phrases: Annotated[list[Line], Meta(min_length=1)]
    urgency: Urgency
    to: Level = "senior"


class Sla(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds until somebody has taken an escalation of that urgency; also how long a person may stay silent."""

    low: Seconds = 3_600.0
    normal: Seconds = 900.0
    high: Seconds = 300.0
    critical: Seconds = 60.0

    def of(self, urgency: Urgency) -> float:
        """Seconds that an escalation of this urgency allows."""
        seconds: float = getattr(self, urgency)
        return seconds


class EscalationPolicy(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a conversation goes to senior agents or to people, and how soon somebody has to take it."""

    rules: list[EscalationRule] = []
    person_phrases: list[Line] = []
    """Who says one of these has asked for a person."""
    frustration_words: list[Line] = []
    frustration_limit: Annotated[int, Meta(ge=1)] = 2
    """So many of these words in the customer's last messages mean high urgency."""
    failed_turns: Annotated[int, Meta(ge=1)] = 3
    """So many answers in a row without an answer mean escalation."""
    tiers: dict[Slug, Urgency] = {}
    """The least urgency of an escalation by the customer's tier."""
    sla_s: Sla = Sla()
    waiting_note: Line = (
        "I have asked a person to take over. You are number {position} in the queue; please keep this chat open."
    )
    """What the customer is told; {position} is the place in the queue."""


class Fleet(Record, frozen=True, kw_only=True):
    """All agents of a company."""

    company: Company
    agents: list[Agent]
    escalation: EscalationPolicy = EscalationPolicy()
    tools: list[Tool] = []

    @property
    def specialties(self) -> list[str]:
        """Specialties in order of their names; triage is one of them."""
        return sorted({agent.specialty for agent in self.agents})

    def of(self, specialty: str) -> list[Agent]:
        """Agents of one specialty."""
        return [agent for agent in self.agents if agent.specialty == specialty]


class FleetPublished(Wire, frozen=True, kw_only=True, tag="fleet.published"):
    """A fleet in force, in KV FLEET; the revision of the key is its version."""

    fleet: Fleet
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str = ""
