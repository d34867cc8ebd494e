"""A fleet of 150 agents on one machine, generated from CLINC150: one agent per intent, one specialty per domain.

Writes the fleet to a temporary folder, runs a suite with it, sends questions for every agent (lines that are not among
its examples), and prints routing accuracy, memory and CPU time per agent.

    TRUNKLINE_DATA=... python -m bench.fleet150 --examples 20 --questions 4 --rate 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import psutil

_GREETINGS: Final = (
    "hello", "hi there", "good morning", "good evening", "hey", "is anyone there", "i need help", "can you help me",
    "i have a question", "hello can someone help", "thanks", "thank you very much",
)  # fmt: skip
_COMPLAINTS: Final = (
    "i want to complain", "this is unacceptable", "i want to speak to a manager", "let me talk to a person",
    "i am very unhappy with your service", "i wish to make a formal complaint", "your support is terrible",
    "who is your supervisor", "i will take legal action", "nobody has helped me so far", "escalate this please",
)  # fmt: skip

_ANSWER_TIMEOUT_S: Final = 60.0
_ALL_AGENTS: Final = 150


class _Line(msgspec.Struct):
    text: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A line that is no example of the fleet, and the agent of its intent."""

    text: str
    agent: str


def write_fleet(
    data: Path, folder: Path, *, examples: int, questions: int, agents: int = _ALL_AGENTS
) -> list[Question]:
    """Write the fleet to `folder`, or its first agents of each domain in turn; return questions for every agent."""
    domains: dict[str, list[str]] = json.loads((data / "routing" / "clinc150.domains.json").read_text("utf-8"))
    lines: dict[str, list[str]] = {}
    with (data / "routing" / "clinc150.train.jsonl").open("rb") as file:
        for raw in file:
            line = msgspec.json.decode(raw, type=_Line)
            if line.label is not None:
                lines.setdefault(line.label, []).append(line.text)
    domains = _first(domains, agents)
    specialties = [_slug(domain) for domain in domains]
    (folder / "knowledge").mkdir(parents=True)
    (folder / "fleet.toml").write_text(_company(), "utf-8")
    _write_agent(folder, "reception", "triage", list(_GREETINGS), specialties)
    _write_agent(folder, "complaints", "escalation", list(_COMPLAINTS), [])
    sample = []
    for domain, intents in domains.items():
        others = [specialty for specialty in specialties if specialty != _slug(domain)]
        for intent in intents:
            _write_agent(folder, _slug(intent), _slug(domain), lines[intent][:examples], others)
            _write_article(folder, intent, lines[intent][0])
            sample += [Question(text, _slug(intent)) for text in lines[intent][examples : examples + questions]]
    return sample


def _first(domains: dict[str, list[str]], agents: int) -> dict[str, list[str]]:
    """Return a number of intents, taken from the domains in turn, and no domain without one."""
    width = max(len(intents) for intents in domains.values())
    in_turn = [(domain, intents[at]) for at in range(width) for domain, intents in domains.items() if at < len(intents)]
    chosen: dict[str, list[str]] = {}
    for domain, intent in in_turn[:agents]:
        chosen.setdefault(domain, []).append(intent)
    return chosen


def _write_agent(folder: Path, name: str, specialty: str, examples: list[str], hand_off_to: list[str]) -> None:
    title = name.replace("-", " ").capitalize()
    fields = {
        "name": name,
        "specialty": specialty,
        "title": title,
        "description": f"Answers questions about {title.lower()}.",
        "tone": "Friendly and short.",
        "hand_off_to": hand_off_to,
        "examples": examples,
    }
    # JSON strings and lists of strings are valid TOML.
    text = "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    file = folder / "agents" / specialty / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{text}\n\n[knowledge]\ntopics = ["{name}"]\n', "utf-8")


def _write_article(folder: Path, intent: str, example: str) -> None:
    title = intent.replace("_", " ")
    text = f"For requests such as “{example}” our team for {title} has all that is needed, and answers within a minute."
    front = f"---\nid: {_slug(intent)}\ntitle: About {title}\ntopics: [{_slug(intent)}]\nupdated: 2026-01-01\n---\n"
    (folder / "knowledge" / f"{_slug(intent)}.md").write_text(f"{front}\n## About {title}\n\n{text}\n", "utf-8")


def _company() -> str:
    return """[company]
name = "Hundred and Fifty"
description = "A company for benchmarks: one agent per intent."
greeting = "Hello, what can we do for you?"
clarify = "Could you tell me a little more?"
abstain = "I could not find a reliable answer to that."
examples = ["What is my balance?"]
"""


def _slug(name: str) -> str:
    return name.replace("_", "-").replace("?", "").lower()


# -- measurement ---


async def _ask_all(url: str, questions: list[Question], rate: float) -> list[tuple[Question, dict[str, Any], float]]:
    """Send every question in a new conversation, at a fixed rate."""
    answers = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:

        async def ask(question: Question) -> None:
            async with session.ws_connect(f"{url}/v1/chat", protocols=("trunkline.v1",)) as socket:
                await socket.send_json({"type": "start", "customer": question.agent})
                started = time.monotonic()
                await socket.send_json({"type": "message", "id": "m1", "text": question.text})
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    while (frame := await socket.receive_json())["type"] != "message":
                        pass
                answers.append((question, frame, time.monotonic() - started))

        for question in questions:
            tasks.create_task(ask(question))
            await asyncio.sleep(1 / rate)
    return answers


def _processes(status: dict[str, Any]) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {}
    for line in status["processes"]:
        found.setdefault(line["service"], []).append(psutil.Process(line["pid"]))
    return found


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _rss_mib(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 2**20


async def _measure(url: str, token: str, questions: list[Question], rate: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{url}/v1/ops/status") as reply:
        reply.raise_for_status()
        processes = _processes(await reply.json())
    suite = [process for each in processes.values() for process in each]
    agents = processes["agents"]
    before = _cpu_s(agents), _cpu_s(suite)
    answers = await _ask_all(url, questions, rate)
    after = _cpu_s(agents), _cpu_s(suite)
    names = {question.agent for question in questions}
    turns_by_agent = Counter(frame["agent"] for _, frame, _ in answers)
    correct = sum(frame["agent"] == question.agent for question, frame, _ in answers)
    times = sorted(seconds for _, _, seconds in answers)
    return {
        "agents": len(names),
        "agents_with_turns": len(names & set(turns_by_agent)),
        "min_turns_per_agent": min(turns_by_agent[name] for name in names),
        "processes": len(agents),
        "turns": len(questions),
        "answered": len(answers),
        "answered_by_agent_of_intent": round(correct / len(answers), 3),
        "rss_mib": {"agents": round(_rss_mib(agents), 1), "suite": round(_rss_mib(suite), 1)},
        "rss_mib_per_agent": {
            "agents": round(_rss_mib(agents) / len(names), 2),
            "suite": round(_rss_mib(suite) / len(names), 2),
        },
        "cpu_ms_per_turn": {
            "agents": round((after[0] - before[0]) * 1000 / len(answers), 2),
            "suite": round((after[1] - before[1]) * 1000 / len(answers), 2),
        },
        "cpu_ms_per_agent": round((after[0] - before[0]) * 1000 / len(names), 2),
        "response_ms": {f"p{percent}": round(times[len(times) * percent // 100] * 1000, 1) for percent in (50, 95, 99)},
    }


def main() -> int:
    """Measure and print one JSON object; return 1 if an agent received no turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRUNKLINE_DATA"), help="[env: TRUNKLINE_DATA]")
    parser.add_argument("--examples", type=int, default=20, help="examples per agent")
    parser.add_argument("--questions", type=int, default=4, help="questions per agent")
    parser.add_argument("--rate", type=float, default=20.0, help="questions per second")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or TRUNKLINE_DATA must name the folder with routing/clinc150.*")
    with tempfile.TemporaryDirectory(prefix="trunkline-fleet150-") as name:
        folder = Path(name)
        questions = write_fleet(options.data, folder / "fleet", examples=options.examples, questions=options.questions)
        command = Path(sys.executable).parent / "trunkline"
        started = time.monotonic()
        with (folder / "up.log").open("w") as log:
            suite = subprocess.Popen(
                [command, "up", "--port", "0", "--data-dir", folder / "data", "--fleet", folder / "fleet"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "TRUNKLINE_READY_TIMEOUT_S": "300"},
            )
        try:
            line = suite.stdout.readline() if suite.stdout is not None else ""
            if not line.startswith("ready "):
                print((folder / "up.log").read_text("utf-8"), file=sys.stderr)
                return 1
            ready_s = time.monotonic() - started
            token = (folder / "data" / "secrets" / "operator").read_text("utf-8")
            report = asyncio.run(_measure(line.split()[1], token, questions, options.rate))
        finally:
            suite.send_signal(signal.SIGINT)
            suite.wait(120)
    print(json.dumps(report | {"examples_per_agent": options.examples, "ready_s": round(ready_s, 1)}, indent=2))
    return 0 if report["agents_with_turns"] == report["agents"] else 1


if __name__ == "__main__":
    sys.exit(main())
