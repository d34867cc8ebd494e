"""Fit of the measurements: the cost of a running process, of a turn and of an open conversation.

A service takes part of its CPU per second for being woken, whatever it does, and part per turn; two runs of the same
code at different rates give both. Later code with other numbers of processes is that model times a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import Final

from trunkline_cli.capacity.core import measurements as measured
from trunkline_cli.capacity.core.measurements import FAST_RUN, SLOW_RUN, Level

SERVICES: Final = tuple(SLOW_RUN.processes)


@dataclass(frozen=True, slots=True)
class ServiceCost:
    """Cost of one service: CPU in ms per second of a process and per turn, memory of a process in MiB."""

    cpu_ms_per_s: float
    cpu_ms_per_turn: float
    process_mib: float
    kib_per_conversation: float = 0.0


def _cpu(service: str) -> tuple[float, float]:
    """Return CPU in ms per second of one process, and per turn: the line through both runs."""
    slow = SLOW_RUN.cpu_ms_per_turn[service] * SLOW_RUN.turns_per_s
    fast = FAST_RUN.cpu_ms_per_turn[service] * FAST_RUN.turns_per_s
    per_turn = (fast - slow) / (FAST_RUN.turns_per_s - SLOW_RUN.turns_per_s)
    return (slow - per_turn * SLOW_RUN.turns_per_s) / SLOW_RUN.processes[service], per_turn


def _kib_per_conversation(service: str) -> float:
    slow_mib, conversations = SLOW_RUN.rss_mib[service], SLOW_RUN.conversations
    match service:
        case "ingress":
            return (FAST_RUN.rss_mib[service] - slow_mib) * 1024 / (FAST_RUN.conversations - conversations)
        case "conversation":
            return measured.CONVERSATION_KIB
        case "nats":
            return (slow_mib - measured.NATS_IDLE_MIB) * 1024 / conversations
        case _:
            return 0.0


def _cost(service: str) -> ServiceCost:
    per_s, per_turn = _cpu(service)
    kib = _kib_per_conversation(service)
    mib = SLOW_RUN.rss_mib[service] - kib * SLOW_RUN.conversations / 1024
    return ServiceCost(per_s, per_turn, mib / SLOW_RUN.processes[service], kib)


COSTS: Final = {service: _cost(service) for service in SERVICES}

_demo_process_mib: Final = SLOW_RUN.rss_mib["agents"] / SLOW_RUN.processes["agents"]
AGENT_MIB: Final = (measured.AGENT_RUN_MIB / measured.AGENT_RUN_PROCESSES - _demo_process_mib) / (
    measured.AGENT_RUN_AGENTS - measured.DEMO_AGENTS
)
"""Memory of one more agent of the fleet in every agents process, in MiB."""

PASSAGE_KIB: Final = (measured.RAG_WORDS_MIB - SLOW_RUN.rss_mib["rag"]) * 1024 / measured.PASSAGES
"""Memory of a passage in the knowledge service."""
MEANING_MIB: Final = measured.RAG_MEANING_MIB - measured.RAG_WORDS_MIB
"""Memory of encoder and vectors, with about ten thousand passages."""

(_few, _few_ms), (_many, _many_ms) = measured.SEARCH_MS
PASSAGE_MS: Final = (_many_ms - _few_ms) / (_many - _few)
"""CPU of one more passage in a search, in ms."""


def cpu_ms_per_s(processes: dict[str, int], turns_per_s: float) -> dict[str, float]:
    """Return the CPU of each service in ms per second, by the code of the two runs."""
    return {
        service: COSTS[service].cpu_ms_per_s * count + COSTS[service].cpu_ms_per_turn * turns_per_s
        for service, count in processes.items()
    }


def level_of(run: Level) -> float:
    """Return the factor between later code and that of the two runs, at the rate and with the processes of a run."""
    expected = sum(cpu_ms_per_s(run.processes, run.turns_per_s).values()) / run.turns_per_s
    return mean(run.cpu_ms_per_turn) / expected


def by_words(run: Level) -> Level:
    """Return a run by meaning as it would be by words alone."""
    spared = tuple(ms - measured.MEANING_MS_PER_TURN for ms in run.cpu_ms_per_turn)
    return Level(run.source, run.turns_per_s, run.processes, spared)


PRESENT_LEVEL: Final = level_of(measured.PRESENT)
PRESENT_LEVEL_BY_WORDS: Final = level_of(by_words(measured.PRESENT))
