"""Points of growth: for each dimension its sizes, the suite of a size, and the load on it.

The load is the same within a dimension but for the size: a fixed rate over conversations that have had their first
turns, which cost more than later ones. Only conversations per agent bring their own rate, a turn a minute each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Final

from bench.fleet150 import write_fleet
from bench.search import ArticleGenerator
from bench.suites import BenchSuite, SuiteError

_SIMULATED: Final = str(Path(__file__).parent / "simulated.toml")
_FLEET: Final = str(Path(__file__).parents[1] / "fleet")
_ALLOW_LOAD: Final = {
    "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.0/8",
    "TRUNKLINE_EDGE_CONNECTIONS": "60000",
    "TRUNKLINE_MESSAGES_PER_S": "1000",
    "TRUNKLINE_MESSAGE_BURST": "1000",
}
_SOCKETS_PER_GENERATOR: Final = 10_000
_SOCKETS_PER_INGRESS: Final = 12_500
"""As many as fit under a hard limit of 20,000 open files, which is common."""
_MAX_INGRESSES: Final = 8
_ACTIVE: Final = 200
_TURNS_OF_LENGTH: Final = 200
_AGENTS_AT_ONCE: Final = 100
_TURN_EVERY_S: Final = 60
_LONG_TEXTS: Final = (
    "I was charged twice for my order, can I get a refund?",
    "When will my refund be paid to my bank?",
    "My thermostat shows the error code E2 on its screen",
    "How do I change the address of my account?",
)
"""Nothing that would escalate a conversation: an escalated one costs less."""
_IMPORTED_FIRST: Final = 250
_IMPORT_TIMEOUT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Preparation:
    """Resources that a point needs to start its suite, and for its load."""

    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    """Of `trunkline up`."""
    load: Sequence[str] = ()
    """Of `trunkline bench load`."""
    fill: Callable[[BenchSuite, Path], None] = lambda _suite, _folder: None
    """Fills the running suite; it may write files to the folder."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of growth."""

    name: str
    label: str
    """For the axis of a plot."""
    sizes: Sequence[int]
    prepare: Callable[[int, Path | None, Path], Preparation]
    """From a size, the folder of public data if there is one, and a folder for files; may raise `SuiteError`."""


def _load(*options: str, rate: float = 50, seconds: float = 30) -> list[str]:
    return ["--rate", f"{rate:g}", "--duration", f"{seconds:g}", "--max-traces", "300", *options]


def _write_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> str:
    """Write texts, each with the customer that sends it, and return the path of the file."""
    file = folder / "texts.jsonl"
    rows = (json.dumps({"conversation": customer, "text": text}) for customer, text in texts)
    file.write_text("\n".join(rows), encoding="utf-8")
    return str(file)


def _conversations(size: int, _data: Path | None, _folder: Path) -> Preparation:
    ingresses = min(_MAX_INGRESSES, max(2, ceil(size / _SOCKETS_PER_INGRESS)))
    active = min(size, _ACTIVE)
    processes = ceil(size / _SOCKETS_PER_GENERATOR)
    return Preparation(
        {"TRUNKLINE_LLM_CONFIG": _SIMULATED, "TRUNKLINE_INGRESS_PROCESSES_MIN": str(ingresses)},
        load=_load(
            *("--conversations", str(size), "--active", str(active), "--warm-up", "2"),
            *("--processes", str(processes), "--fleet", _FLEET),
        ),
    )


def _length(size: int, _data: Path | None, folder: Path) -> Preparation:
    """Return few long or many short conversations, so that the measured turns hardly add to their length.

    Without a simulated model: thousands of turns would take an hour of its time.
    """
    conversations = max(2, min(_ACTIVE, _TURNS_OF_LENGTH * 10 // size))
    return Preparation(
        load=_load(
            *("--conversations", str(conversations), "--warm-up", str(size)),
            *("--texts", _write_texts(folder, [("customer", text) for text in _LONG_TEXTS])),
            rate=20,
            seconds=_TURNS_OF_LENGTH / 20,
        )
    )


def _agents(size: int, data: Path | None, folder: Path) -> Preparation:
    return _fleet_of(size, data, folder, _load("--conversations", str(_ACTIVE), "--warm-up", "2", rate=30, seconds=20))


def _per_agent(size: int, data: Path | None, folder: Path) -> Preparation:
    """Return a hundred agents with `size` open conversations each, in which customers write once a minute."""
    conversations = size * _AGENTS_AT_ONCE
    rate = conversations / _TURN_EVERY_S
    load = _load("--conversations", str(conversations), "--warm-up", "1", rate=rate, seconds=_TURN_EVERY_S)
    return _fleet_of(_AGENTS_AT_ONCE, data, folder, load)


def _fleet_of(agents: int, data: Path | None, folder: Path, load: Sequence[str]) -> Preparation:
    """Return a fleet of some agents, under a load of questions for each of them."""
    if data is None:
        raise SuiteError("needs TRUNKLINE_DATA with routing/clinc150.*")
    questions = write_fleet(data, folder / "fleet", examples=20, questions=10, agents=agents)
    texts = _write_texts(folder, [(question.agent, question.text) for question in questions])
    return Preparation(
        {"TRUNKLINE_LLM_CONFIG": _SIMULATED},
        options=["--fleet", str(folder / "fleet")],
        load=[*load, "--texts", texts],
    )


def _passages(size: int, data: Path | None, folder: Path) -> Preparation:
    documents = data / "kb" / "tau_banking.documents.jsonl" if data is not None else None
    queries = data / "routing" / "banking77.train.jsonl" if data is not None else None
    if documents is None or queries is None or not documents.exists() or not queries.exists():
        raise SuiteError("needs TRUNKLINE_DATA with kb/tau_banking.documents.jsonl and routing/banking77.train.jsonl")
    texts = [json.loads(line)["text"] for line in queries.read_text(encoding="utf-8").splitlines() if line]
    # Without a customer for each, one customer would send all of them.
    texts_file = _write_texts(folder, [(f"c{number % _ACTIVE}", text) for number, text in enumerate(texts)])

    def fill(suite: BenchSuite, folder: Path) -> None:
        articles = ArticleGenerator(documents, 1)
        found = _import(suite, folder, articles, _IMPORTED_FIRST)
        missing = size - found
        if missing > 0:
            _import(suite, folder, articles, ceil(missing * _IMPORTED_FIRST / found))

    return Preparation(
        {"TRUNKLINE_LLM_CONFIG": _SIMULATED},
        load=_load("--conversations", str(_ACTIVE), "--warm-up", "2", "--texts", texts_file),
        fill=fill,
    )


def _import(suite: BenchSuite, folder: Path, articles: ArticleGenerator, count: int) -> int:
    """Import articles and return the number of their passages."""
    file = folder / f"articles-{count}.jsonl"
    file.write_text(articles.make(count).content, encoding="utf-8")
    output = suite.run(["kb", "import", str(file)], _IMPORT_TIMEOUT_S)
    found = re.search(r"(\d+) passages", output)
    if found is None or not int(found[1]):
        raise SuiteError(f"no passages imported: {output[-200:]}")
    return int(found[1])


def _nodes(size: int, _data: Path | None, _folder: Path) -> Preparation:
    return Preparation(
        {"TRUNKLINE_LLM_CONFIG": _SIMULATED},
        options=["--nodes", str(size)],
        load=_load("--conversations", str(_ACTIVE), "--warm-up", "2", "--fleet", _FLEET),
    )


ENVIRONMENT: Final = _ALLOW_LOAD
"""Of every suite."""

DIMENSIONS: Final = (
    Dimension("conversations", "open conversations", (100, 1_000, 5_000, 20_000, 50_000), _conversations),
    Dimension("length", "turns of a conversation before", (1, 10, 100, 1_000, 10_000), _length),
    Dimension("agents", "agents of the fleet", (5, 25, 50, 100, 150), _agents),
    Dimension("per-agent", "open conversations of each of 100 agents", (10, 30, 50), _per_agent),
    Dimension("passages", "passages of the knowledge base", (1_000, 10_000, 100_000), _passages),
    Dimension("nodes", "NATS servers, one replica each", (1, 3), _nodes),
)
