"""A soak test: random faults under load; prints its report as JSON and exits with 1 if a guarantee was violated.

python -m tests.faults.soak --duration 600 --rate 50 --every 5 --seed 7
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
from typing import Final, get_args

import msgspec

from tests.faults.customers import TEXTS, CustomerPool
from tests.faults.faults import FaultKind, FaultSchedule, InjectedFault
from tests.faults.verifier import Report, verify
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
_ANSWER_TIMEOUT_S: Final = 60.0
_DEFAULT_ADMISSION: Final = {"TRUNKLINE_ADMISSION_TARGET_S": "0.3"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of a run: `rate` in turns per second, `every_s` seconds between two faults."""

    duration_s: float
    rate: float
    every_s: float
    seed: int
    conversations: int
    faults: tuple[FaultKind, ...] = ("kill",)
    services: tuple[str, ...] = SERVICES
    texts: tuple[str, ...] = TEXTS


def environment(folder: Path) -> dict[str, str]:
    """Return settings of a suite whose turns take long enough for a fault to interrupt them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.toml"
    model.write_text(_MODEL, encoding="utf-8")
    return {
        "TRUNKLINE_LLM_CONFIG": str(model),
        "TRUNKLINE_MESSAGES_PER_S": "1000",
        "TRUNKLINE_CONVERSATION_PROCESSES_MIN": "2",
    }


async def run(suite: Suite, plan: Plan, inject: Callable[[], Awaitable[None]] | None = None) -> Report:
    """Load the suite, inject faults, wait until every message is answered, and verify the guarantees.

    The faults are those of the plan, or, if `inject` is given, one call of it per interval.
    """
    pool = CustomerPool(suite.url, plan.conversations, plan.seed, plan.texts)
    faults: list[InjectedFault] = []
    schedule = FaultSchedule(plan.seed, services=plan.services, kinds=plan.faults)
    async with asyncio.TaskGroup() as tasks:
        running = await pool.open(tasks)
        sending = tasks.create_task(pool.send_at_rate(plan.rate, plan.duration_s))
        while not sending.done():
            await asyncio.wait({sending}, timeout=plan.every_s)
            if sending.done():
                break
            if inject is not None:
                await inject()
                continue
            try:
                fault = await asyncio.to_thread(schedule.inject_next, suite)
            except OSError:
                continue  # the status comes from the ingress, which may be down itself
            if fault is not None:
                faults.append(fault)
        await pool.wait_until_answered(_ANSWER_TIMEOUT_S)
        for task in running:
            task.cancel()
    await pool.close()
    return await verify(suite, [customer.record for customer in pool.customers], faults)


def to_json(report: Report, plan: Plan) -> str:
    """Return the plan and the report as one indented JSON object."""
    return msgspec.json.format(msgspec.json.encode(asdict(plan) | asdict(report)), indent=2).decode()


def main() -> int:
    """Run a soak test on a suite of its own, by default with three NATS nodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=600.0, help="seconds of load")
    parser.add_argument("--rate", type=float, default=50.0, help="turns per second")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two faults")
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--faults", nargs="+", choices=get_args(FaultKind), default=["kill"])
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=list(SERVICES))
    parser.add_argument("--keep", action="store_true", help="keep the suite's data and logs even if nothing was lost")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=3)
    options = parser.parse_args()
    plan = Plan(
        duration_s=options.duration,
        rate=options.rate,
        every_s=options.every,
        seed=options.seed,
        conversations=options.conversations,
        faults=tuple(options.faults),
        services=tuple(options.services),
    )
    print(f"seed {plan.seed}", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="trunkline-faults-"))
    suite = Suite(folder / "data", environment(folder) | _DEFAULT_ADMISSION, nodes=options.nodes)
    try:
        report = asyncio.run(run(suite, plan))
    finally:
        suite.stop()
    if report.is_clean and not options.keep:
        shutil.rmtree(folder)
    else:
        print(f"data and logs are kept in {folder}", file=sys.stderr)
    print(to_json(report, plan))
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
