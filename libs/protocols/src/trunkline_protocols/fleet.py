"""A fleet as data: the company, its agents, where its knowledge lies. Read from TOML, checked whole, refused whole."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from trunkline_protocols.turn import Record

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

TRIAGE = "triage"
ESCALATION = "escalation"

Slug = Annotated[str, Meta(pattern="^[a-z0-9-]{1,64}$")]
Line = Annotated[str, Meta(min_length=1)]


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


class Fleet(Record, frozen=True, kw_only=True):
    """All agents of a company."""

    company: Company
    agents: list[Agent]

    @property
    def specialties(self) -> list[str]:
        """Specialties in order of their names; triage is one of them."""
        return sorted({agent.specialty for agent in self.agents})

    def of(self, specialty: str) -> list[Agent]:
        """Agents of one specialty."""
        return [agent for agent in self.agents if agent.specialty == specialty]


class FleetError(ValueError):
    """A fleet is not usable; `file` and `reason` say where and why."""

    def __init__(self, file: Path, reason: str) -> None:
        """Keep the fields; the message is for people."""
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class _CompanyFile(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    company: Company


def load_fleet(folder: Path) -> Fleet:
    """Read `fleet.toml` and `agents/<specialty>/<name>.toml` below `folder`; raise `FleetError` on the first fault."""
    company = _read(folder / "fleet.toml", _CompanyFile).company
    files = sorted((folder / "agents").glob("*/*.toml"))
    agents = [_read(file, Agent) for file in files]
    seen: set[str] = set()
    for file, agent in zip(files, agents, strict=True):
        _check_place(file, agent, seen)
        seen.add(agent.name)
    fleet = Fleet(company=company, agents=agents)
    for file, agent in zip(files, agents, strict=True):
        for target in agent.hand_off_to:
            if target not in fleet.specialties:
                raise FleetError(file, f"hand_off_to names {target!r}, and no agent has that specialty")
    if not fleet.of(TRIAGE):
        raise FleetError(folder / "agents", f"no agent has the specialty {TRIAGE!r}; it meets every new conversation")
    return fleet


def _check_place(file: Path, agent: Agent, seen: set[str]) -> None:
    if agent.name != file.stem:
        raise FleetError(file, f"name is {agent.name!r}, the file says {file.stem!r}")
    if agent.specialty != file.parent.name:
        raise FleetError(file, f"specialty is {agent.specialty!r}, the folder says {file.parent.name!r}")
    if agent.name in seen:
        raise FleetError(file, f"another agent is named {agent.name!r} already")


def _read(file: Path, type_: type[T]) -> T:
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(content, type_)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise FleetError(file, str(error)) from error
