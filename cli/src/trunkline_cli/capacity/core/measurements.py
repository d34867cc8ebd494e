"""Measured figures that the plan is fitted to, each with its source.

All runs: `trunkline bench load` or another bench of this repository on a virtual machine with two cores (x86-64), one
NATS server, one copy of each stream, the load on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LoadRun:
    """A run of `trunkline bench load`: processes by service, CPU in ms per turn, and RSS in MiB of all of them."""

    source: str
    conversations: int
    turns_per_s: float
    processes: dict[str, int]
    cpu_ms_per_turn: dict[str, float]
    rss_mib: dict[str, float]


_PROCESSES: Final = {
    "ingress": 1,
    "conversation": 1,
    "agents": 6,
    "rag": 1,
    "llm_gateway": 1,
    "audit": 1,
    "nats": 1,
    "postgres": 1,
    "supervisor": 1,
}

SLOW_RUN: Final = LoadRun(
    source="bench/history/2026-11.md, Load, 2026-11-24, one ingress, one gateway; 1,000; 50/s; 30 s",
    conversations=1_000,
    turns_per_s=50,
    processes=_PROCESSES,
    cpu_ms_per_turn={
        "nats": 2.71,
        "agents": 2.57,
        "llm_gateway": 1.85,
        "conversation": 1.51,
        "ingress": 1.40,
        "rag": 0.87,
        "audit": 0.51,
        "postgres": 0.31,
        "supervisor": 0.25,
    },
    rss_mib={
        "agents": 487,
        "rag": 281,
        "ingress": 109,
        "supervisor": 106,
        "audit": 74,
        "conversation": 67,
        "llm_gateway": 65,
        "nats": 42,
        "postgres": 12,
    },
)
FAST_RUN: Final = LoadRun(
    source="the same, 5,000; 200/s; 30 s",
    conversations=5_000,
    turns_per_s=200,
    processes=_PROCESSES,
    cpu_ms_per_turn={
        "nats": 1.46,
        "agents": 1.84,
        "llm_gateway": 1.17,
        "conversation": 1.15,
        "ingress": 0.93,
        "rag": 0.57,
        "audit": 0.28,
        "postgres": 0.15,
        "supervisor": 0.07,
    },
    rss_mib={"ingress": 278},
)
"""Of its memory only that of the ingress was written down."""


@dataclass(frozen=True, slots=True)
class Level:
    """CPU of a turn by a later code with other processes; `cpu_ms_per_turn` are the runs of one row."""

    source: str
    turns_per_s: float
    processes: dict[str, int]
    cpu_ms_per_turn: tuple[float, ...]


PRESENT: Final = Level(
    source="bench/README.md, Load, 2026-11-27, by meaning, with the record tree and masking; 1,000; 50/s; 30 s",
    turns_per_s=50,
    processes=_PROCESSES | {"ingress": 2, "llm_gateway": 2, "agents": 2},
    cpu_ms_per_turn=(22.1, 20.6),
)
MEANING_MS_PER_TURN: Final = 1.85
"""CPU that search by meaning adds to search by words. bench/README.md, Load: 17.0 and 21.5 against 15.8 and 19.0."""

CONVERSATION_KIB: Final = 8.0
"""Of an open conversation in the conversation process, with eight short utterances. bench/README.md, State."""

AGENT_RUN_PROCESSES: Final = 12
AGENT_RUN_AGENTS: Final = 150
AGENT_RUN_MIB: Final = 9.8 * 150
"""RSS of all agents processes. bench/README.md, Fleet of 150 agents; the demo fleet of `SLOW_RUN` has 28."""
DEMO_AGENTS: Final = 28

NATS_IDLE_MIB: Final = 20.0
"""RSS of a nats-server without streams: an assumption, which only divides its memory from that of conversations."""

PASSAGES: Final = 10_108
RAG_WORDS_MIB: Final = 400.0
RAG_MEANING_MIB: Final = 735.0
"""RSS of the knowledge service with `PASSAGES` passages, by words and by meaning. bench/README.md, Search."""
SEARCH_MS: Final = ((10_108, 4.2), (100_764, 6.5))
"""CPU of a search for a new question by meaning, by the number of passages. bench/README.md, Search."""
