"""A run under load in which a random process is struck every few seconds; prints its verdict as JSON.

python -m tests.faults.marathon --duration 600 --rate 50 --every 5 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from tests.faults.customers import TEXTS, Crowd
from tests.faults.faults import Fault, FaultKind, FaultSchedule
from tests.faults.verifier import Report, gather
from tests.support.suite import Suite

SERVICES: Final = ("ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "postgres", "nats")

_MODEL: Final = """
[[provider]]
name = "simulated"
kind = "simulated"
first_token_ms_median = 80.0
first_token_sigma = 0.3
tokens_per_s = 150.0
tokens_median = 40.0
tokens_sigma = 0.3
max_concurrency = 512
seed = 7
"""
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for how long. `rate` in turns a second, `every_s` between two faults."""

    duration_s: float
    rate: float
    every_s: float
    seed: int
    conversations: int
    deeds: tuple[FaultKind, ...] = ("kill",)
    services: tuple[str, ...] = SERVICES
    texts: tuple[str, ...] = TEXTS


def environment(folder: Path) -> dict[str, str]:
    """Settings of a suite whose turns take long enough to be hit in the middle."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.toml"
    model.write_text(_MODEL, encoding="utf-8")
    return {
        "TRUNKLINE_LLM_CONFIG": str(model),
        "TRUNKLINE_MESSAGES_PER_S": "1000",
        "TRUNKLINE_CONVERSATION_PROCESSES_MIN": "2",
    }


async def run(suite: Suite, plan: Plan, inject: Callable[[], Awaitable[None]] | None = None) -> Report:
    """Load the suite, strike, wait until everything is answered, and gather the evidence.

    Strikes processes by the plan, unless `inject` says what else to do every so often.
    """
    crowd = Crowd(suite.url, plan.conversations, plan.seed, plan.texts)
    faults: list[Fault] = []
    fate = FaultSchedule(plan.seed, services=plan.services, deeds=plan.deeds)
    async with asyncio.TaskGroup() as tasks:
        running = await crowd.open(tasks)
        talking = tasks.create_task(crowd.talk(plan.rate, plan.duration_s))
        while not talking.done():
            await asyncio.wait({talking}, timeout=plan.every_s)
            if talking.done():
                break
            if inject is not None:
                await inject()
                continue
            try:
                fault = await asyncio.to_thread(fate.inject, suite)
            except OSError:
                continue  # the ingress that tells the status is away itself
            if fault is not None:
                faults.append(fault)
        await crowd.settle(_PATIENCE_S)
        for task in running:
            task.cancel()
    await crowd.close()
    return await gather(suite, [customer.record for customer in crowd.customers], faults)


def show(report: Report, plan: Plan) -> str:
    """Write the verdict for people and programs."""
    return msgspec.json.format(msgspec.json.encode(asdict(plan) | asdict(report)), indent=2).decode()


def main() -> int:
    """Run a marathon on a suite of three NATS nodes; exit 1 when anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=600.0, help="seconds of load")
    parser.add_argument("--rate", type=float, default=50.0, help="turns a second")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two faults")
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--deeds", nargs="+", choices=["kill", "freeze", "stop"], default=["kill"])
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=list(SERVICES))
    parser.add_argument("--keep", action="store_true", help="keep the suite's data and logs, whatever the verdict")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=3)
    asked = parser.parse_args()
    plan = Plan(
        duration_s=asked.duration,
        rate=asked.rate,
        every_s=asked.every,
        seed=asked.seed,
        conversations=asked.conversations,
        deeds=tuple(asked.deeds),
        services=tuple(asked.services),
    )
    print(f"seed {plan.seed}", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="trunkline-faults-"))
    suite = Suite(folder / "data", environment(folder), nodes=asked.nodes)
    try:
        report = asyncio.run(run(suite, plan))
    finally:
        suite.stop()
    if report.clean and not asked.keep:
        shutil.rmtree(folder)
    else:
        print(f"kept for a closer look: {folder}", file=sys.stderr)
    print(show(report, plan))
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
