"""Fleet definition: company, agents, tools and escalation policy. Versioned and validated as one unit in KV FLEET."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta

from trunkline_protocols.escalation import Level, Urgency
from trunkline_protocols.wire import Record, Wire

TRIAGE = "triage"
ESCALATION = "escalation"

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]
Region = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
NonEmptyText = Annotated[str, Meta(min_length=1)]
Hours = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?\Z")]
Seconds = Annotated[float, Meta(gt=0)]
FleetOrigin = Literal["start", "apply", "rollback"]
"""Origin of a fleet version: seeded at start, applied by an operator, or rolled back to."""


ALL_SPECIALTIES: Final = "*"
"""Setting of a process that serves every specialty of the fleet, also those that it does not have yet."""

BUILT_IN_TOOLS = ("search_knowledge", "consult", "escalate", "handoff")
"""Tools backed by the fleet's own protocols; they need no declaration."""

FactName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
BoundSource = Annotated[
    str, Meta(pattern=r"^(customer\.(sub|tenant|region|tier)|(facts|claims)\.[a-z][a-z0-9_]{0,39})\Z")
]
"""Source of a bound argument: a claim about the customer of a turn, verified by the ingress, or a fact."""

CustomerClaim = Literal["customer.sub", "customer.tenant", "customer.region", "customer.tier"]
"""A claim about the customer that a reader of facts may send."""

ConditionName = Annotated[str, Meta(pattern=r"^(tier|channel|locale|verified|(facts|claims)\.[a-z][a-z0-9_]{0,39})\Z")]
Scalar: TypeAlias = str | bool | int | float
Conditions: TypeAlias = dict[ConditionName, Scalar]
"""Values that the customer's context must have, all of them; one that is not known does not match."""

DEFAULT_DAILY_LIMIT: Final = 20
"""Calls per customer and day of a tool that writes and declares no limit."""

LanguageCode = Annotated[str, Meta(pattern=r"^[a-z]{2}\Z")]
ToolName = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,40}\Z")]


class Tool(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An external tool for agents' models: one HTTP call, or the tools of one MCP server."""

    name: ToolName
    description: NonEmptyText
    kind: Literal["http", "mcp"] = "http"
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: str = ""
    """URL of the HTTP call, with `{argument}` placeholders in the path, or of the MCP server."""
    command: list[NonEmptyText] = []
    """Command line of an MCP server on standard input and output."""
    allow: list[NonEmptyText] = []
    """Allowed tools of the MCP server; default: all."""
    parameters: dict[str, Any] = {}
    """JSON schema of the arguments; default: no arguments. An MCP server provides its own."""
    timeout_s: Seconds = 5.0
    writes: bool = False
    """If true, the tool has side effects and is executed once per turn across all attempts."""
    idempotent: bool = False
    """If true, the server honours `Idempotency-Key`, so that a write with an unknown outcome is retried."""
    secret: str = ""
    """Name of the secret sent as bearer token, in TRUNKLINE_SECRET_<NAME>; TRUNKLINE_SECRET_HOSTS lists its hosts."""
    bind: dict[str, BoundSource] = {}
    """Arguments that are filled from the customer's claims and facts; the model neither sees nor sets them."""
    unbound: bool = False
    """If true, a tool that writes needs no binding: it may act for any customer that its arguments name."""
    daily_limit: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Maximum calls per customer and day (UTC); default: 20 for a tool that writes, else unlimited."""
    regions: list[Region] = []
    """Regions whose customers' data the tool may receive; default: every region that this fleet is served in."""

    @property
    def calls_per_day(self) -> int | None:
        """Maximum calls per customer and day; None if unlimited."""
        if self.daily_limit is not None:
            return self.daily_limit
        return DEFAULT_DAILY_LIMIT if self.writes else None


class FactField(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact in the answer of a reader."""

    type: Literal["text", "number", "flag", "table"] = "text"
    path: NonEmptyText = ""
    """Keys from the top of the answer to the value, joined by dots; default: the name of the fact."""
    key: str = ""
    """Key of a row's name, for a table: a list of objects."""
    text: str = ""
    """Text of a row, with `{key}` placeholders for its values."""


class Reader(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reader of facts about a customer: one HTTP GET, or one tool of an MCP server."""

    name: ToolName
    kind: Literal["http", "mcp"] = "http"
    url: str = ""
    """URL of the HTTP call, with `{argument}` placeholders in the path, or of the MCP server; a path alone stands below
    the operator's TRUNKLINE_READER_ADDRESSES, and the reader rests if that does not name it."""
    command: list[NonEmptyText] = []
    """Command line of an MCP server on standard input and output."""
    tool: str = ""
    """Tool of the MCP server."""
    bind: Annotated[dict[str, CustomerClaim], Meta(min_length=1)]
    """Arguments, filled from the customer's verified claims; `customer.sub` is one of them."""
    fields: Annotated[dict[FactName, FactField], Meta(min_length=1, max_length=40)]
    """Facts by name, of all that the answer holds."""
    fresh_s: Annotated[float, Meta(ge=1)] = 300.0
    """Time for which a reading is not repeated."""
    timeout_s: Annotated[float, Meta(gt=0, le=5)] = 1.0
    """Longest time that the first answer of a conversation waits for this reader."""
    secret: str = ""
    """Name of the secret sent as bearer token, as for a tool."""
    regions: list[Region] = []
    """Regions whose customers the reader may be asked about; default: every region that this fleet is served in."""

    @property
    def rests_without_address(self) -> bool:
        """Return whether the operator names the address."""
        return self.url.startswith("/")

    def as_tool(self, address: str = "") -> Tool:
        """Return the tool that makes the call; `address` is the operator's, for a `url` that is a path."""
        return Tool(
            name=self.name,
            description=f"Facts about the customer, for {', '.join(self.fields)}",
            kind=self.kind,
            method="GET" if self.kind == "http" else "POST",
            url=address.rstrip("/") + self.url if self.rests_without_address else self.url,
            command=self.command,
            allow=[self.tool] if self.tool else [],
            parameters={"type": "object", "properties": {name: {"type": "string"} for name in self.bind}},
            timeout_s=self.timeout_s,
            secret=self.secret,
            bind=dict(self.bind),
        )


class AuthoredReply(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authored answer with the customer's own facts, which no model writes."""

    name: Slug
    phrases: Annotated[list[NonEmptyText], Meta(min_length=1)]
    """Words of which the message contains at least one."""
    number: Annotated[str, Meta(max_length=40)] = ""
    """Form of the number that the message must name: `#` is a digit, for example `FW-#####`."""
    table: str = ""
    """Fact whose row of that number is the answer."""
    text: NonEmptyText
    """The answer, with `{facts.<name>}`, and `{number}` and `{row}` for a reply about a number. A reply whose facts are
    not known is not given."""
    unknown: str = ""
    """Answer for a number that the customer's table does not have, with `{number}`."""


class AgentModel(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model of an agent: a route of the gateway, and how it writes."""

    route: Annotated[str, Meta(min_length=1, max_length=64)] = "default"
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=16, le=8_192)] = 512


class CustomerPolicy(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data about customers that agents may use, besides the facts of readers."""

    claims: Annotated[list[FactName], Meta(max_length=20)] = []
    """Names of further claims that agents, tools and rules may use."""
    topics: dict[Slug, Conditions] = {}
    """Topics whose articles are found only for customers who match."""
    earlier: Annotated[int, Meta(ge=0, le=6)] = 0
    """Number of messages of the customer's last closed conversation that agents of the next one see."""


class Company(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fleet's company, with the fixed replies of its agents."""

    name: NonEmptyText
    description: NonEmptyText
    greeting: NonEmptyText
    clarify: NonEmptyText
    abstain: NonEmptyText
    examples: Annotated[list[NonEmptyText], Meta(min_length=1)]
    languages: list[LanguageCode] = []
    """Languages (ISO 639-1) in which the fleet answers; default: English."""

    @property
    def served_languages(self) -> list[str]:
        """Return the languages in which the fleet answers."""
        return self.languages or ["en"]


class KnowledgeFilter(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Articles available to an agent, selected by topic."""

    topics: Annotated[list[Slug], Meta(min_length=1)]


class Agent(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A specialised agent."""

    name: Slug
    specialty: Slug
    title: NonEmptyText
    description: NonEmptyText
    tone: NonEmptyText
    hand_off_to: list[Slug]
    examples: Annotated[list[NonEmptyText], Meta(min_length=10)]
    knowledge: KnowledgeFilter
    conversations: list[NonEmptyText] = []
    """Training conversations whose last message is for this agent, in lines of `speaker: text`, customer first."""
    consult: list[Slug] = []
    """Specialties to consult if a message concerns their field too."""
    tools: list[ToolName] = []
    """Tools available to the agent's model: built-in or declared by the fleet."""
    instructions: str = ""
    """Further instructions to the agent's model."""
    model: AgentModel = AgentModel()
    replies: list[AuthoredReply] = []
    """Authored answers with the customer's facts."""
    urgent: bool = False
    """If true, a message that is routed to this agent is an emergency, and a person takes over."""


class EscalationRule(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rule that escalates with `urgency` if a message resembles `examples` or contains one of `phrases`."""

    name: Slug
    phrases: list[NonEmptyText] = []
    """Words that mean the case wherever they occur."""
    urgency: Urgency
    to: Level = "senior"
    """A critical case always goes to a person."""
    examples: list[NonEmptyText] = []
    """Messages of customers in such a case; at least five, or none."""
    say: str = ""
    """Instruction that the customer reads first, also if a person takes over."""
    when: Conditions = {}
    """Customers that the rule is for; default: all."""


class Sla(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds per urgency until an escalation must be claimed; also the timeout for a person's next reply."""

    low: Seconds = 3_600.0
    normal: Seconds = 900.0
    high: Seconds = 300.0
    critical: Seconds = 60.0

    def of(self, urgency: Urgency) -> float:
        """Return the SLA in seconds for an urgency."""
        seconds: float = getattr(self, urgency)
        return seconds


class DeskHours(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours in which people are at the desk, in its timezone; without any, it is always open."""

    timezone: str = "UTC"
    """Name of the IANA database, for example `Europe/London`."""
    monday: Hours = ""
    """From and to, for example `08:00-18:00`; empty: closed."""
    tuesday: Hours = ""
    wednesday: Hours = ""
    thursday: Hours = ""
    friday: Hours = ""
    saturday: Hours = ""
    sunday: Hours = ""
    holidays: list[str] = []
    """Dates (ISO 8601) on which the desk is closed."""


class EscalationPolicy(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions for an escalation to senior agents or people, and its SLA."""

    rules: list[EscalationRule] = []
    near_misses: list[NonEmptyText] = []
    """Messages that share words with the rules' examples but are ordinary questions."""
    emergency_say: NonEmptyText = (
        "If anybody is hurt or in danger, call the emergency services first: 112 in Europe, 999 in the United Kingdom, "
        "911 in North America. Leave the room or the building if it is not safe, and switch off the power or unplug "
        "the device only if you can do so without danger."
    )
    """Instruction in an emergency that no rule of the fleet describes."""
    person_phrases: list[NonEmptyText] = []
    """Phrases that request a person."""
    frustration_words: list[NonEmptyText] = []
    frustration_limit: Annotated[int, Meta(ge=1)] = 2
    """Number of frustration words in the customer's last messages that means high urgency."""
    failed_turns: Annotated[int, Meta(ge=1)] = 3
    """Number of consecutive abstentions that triggers an escalation."""
    tiers: dict[Slug, Urgency] = {}
    """Minimum urgency of an escalation per customer tier."""
    sla_s: Sla = Sla()
    waiting_note: NonEmptyText = (
        "I have asked a person to take over. You are number {position} in the queue; please keep this chat open."
    )
    """Message to a waiting customer; {position} is the queue position, {wait} the time until a person answers by the
    SLA."""
    hours: DeskHours = DeskHours()
    """Hours of the desk."""
    closed_note: NonEmptyText = (
        "Our desk is closed now and opens {opens}. Your case is number {position} in the queue; please leave an e-mail "
        "address here, and a person writes to you if you are not in the chat then."
    )
    """Message to a waiting customer outside the hours; {opens} is the next opening, {position} the queue position."""
    closed_emergency_note: NonEmptyText = (
        "Nobody of ours is at the desk now; it opens {opens}. Do not wait for us: follow the instruction above, and "
        "call the emergency services while anybody is in danger."
    )
    """Message in an emergency outside the hours; the instruction of its rule stands above it."""
    noted_note: NonEmptyText = "Thank you, I have added that to your case. You are number {position} in the queue."
    """Reply to a waiting customer's message that asks nothing; {position} is the queue position."""


class FleetFile(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of `fleet.toml`; agents, tools and readers have files of their own."""

    company: Company
    escalation: EscalationPolicy = EscalationPolicy()
    customers: CustomerPolicy = CustomerPolicy()


class Fleet(Record, frozen=True, kw_only=True):
    """All agents of a company, with tools and escalation policy."""

    company: Company
    agents: list[Agent]
    escalation: EscalationPolicy = EscalationPolicy()
    tools: list[Tool] = []
    readers: list[Reader] = []
    customers: CustomerPolicy = CustomerPolicy()

    @property
    def fact_names(self) -> set[str]:
        """Return the names of all facts."""
        return {name for reader in self.readers for name in reader.fields}

    @property
    def specialties(self) -> list[str]:
        """Return the specialties sorted by name, triage included."""
        return sorted({agent.specialty for agent in self.agents})

    def of(self, specialty: str) -> list[Agent]:
        """Return the agents of one specialty."""
        return [agent for agent in self.agents if agent.specialty == specialty]


class FleetPublished(Wire, frozen=True, kw_only=True, tag="fleet.published"):
    """The active fleet in KV FLEET; its version is the revision of the key."""

    fleet: Fleet
    published_at: float
    published_by: str
    origin: FleetOrigin
    note: str = ""
