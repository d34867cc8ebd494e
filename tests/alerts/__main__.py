"""Every alert fires under its fault: ./just alerts [--only NAME ...] [--keep FOLDER] | --healthy MINUTES.

Faults are made to happen on suites of their own, with a real Prometheus and Alertmanager. An alert counts when it fires
in Prometheus and arrives at the web server of its receiver; an alert that the table of the fault does not list fails
it. Waiting times (`for`, groups of notifications) are divided by 30, windows and limits stay as they are.

With --healthy, a suite is under load for that many minutes and its desk is served, with the rules as they are: an alert
that fires fails it.
Exit status 1 if a fault or the healthy run fails.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, get_args

import aiohttp
import structlog

from tests.alerts.monitor import Monitor, name_of
from tests.alerts.runner import run
from tests.alerts.short import FACTOR
from tests.alerts.stage import NotPossibleError, Scenario, Stage, SuiteKind
from tests.alerts.suites import staged
from tests.alerts.table import SCENARIOS
from tests.faults import soak
from tests.support.suite import Suite

_RATE: Final = 5.0
_CONVERSATIONS: Final = 40
_DESK_EVERY_S: Final = 20.0
_DESK_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)


def main() -> int:
    """Run the scenarios or the healthy load; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--healthy", type=float, metavar="MINUTES", help="minutes of healthy load instead of faults")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="folder of suites and logs, which is left")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="trunkline-alerts-") as temporary:
        folder = options.keep or Path(temporary)
        if options.healthy is not None:
            return asyncio.run(_stay_healthy(folder, options.healthy * 60))
        failed = asyncio.run(_run_all(folder, [each for each in SCENARIOS if each.name in options.only]))
    _report(f"{len(failed)} of {len(options.only)} faults failed: {failed}" if failed else "passed")
    return 1 if failed else 0


async def _run_all(folder: Path, scenarios: list[Scenario]) -> list[str]:
    """Return the names of the scenarios that failed."""
    failed: list[str] = []
    for kind in get_args(SuiteKind):
        chosen = [scenario for scenario in scenarios if scenario.suite == kind]
        if not chosen:
            continue
        async with staged(kind, folder / kind, factor=FACTOR) as stage:
            failed += [scenario.name for scenario in chosen if not await _passes(stage, scenario)]
    return failed


async def _passes(stage: Stage, scenario: Scenario) -> bool:
    try:
        outcome = await run(stage, scenario)
    except NotPossibleError as error:
        _report(f"{scenario.name}: skipped, {error}")
        return True
    except (AssertionError, OSError, TimeoutError, aiohttp.ClientError) as error:
        _report(f"{scenario.name}: FAILED: {error!r}; firing: {sorted(map(name_of, stage.monitor.alerts('firing')))}")
        return False
    with_companions = f", with {', '.join(sorted(outcome.companions))}" if outcome.companions else ""
    _report(f"{scenario.name}: {', '.join(scenario.alerts)} after {outcome.took_s:.0f} s{with_companions}")
    return True


async def _stay_healthy(folder: Path, duration_s: float) -> int:
    """Load a suite, and report every alert that fires with the rules as they are."""
    began = time.time()
    async with staged("default", folder / "healthy", factor=1) as stage:
        plan = soak.Plan(duration_s, _RATE, every_s=_DESK_EVERY_S, seed=1, conversations=_CONVERSATIONS)
        report = await soak.run(stage.suite, plan, partial(_serve_desk, stage.suite))
        fired = _fired(stage.monitor, began)
    _report(f"{report.turns} turns in {duration_s:.0f} s, alerts that fired: {sorted(fired) or 'none'}")
    return 1 if fired or not report.is_clean else 0


async def _serve_desk(suite: Suite) -> None:
    """Take every case of the desk and hand it back, as a person would: customers who wait in vain are not healthy."""
    person = {"person": "Ada"}
    async with aiohttp.ClientSession(suite.url, headers=suite.operator_headers, timeout=_DESK_TIMEOUT) as session:
        while True:
            async with session.post("/v1/ops/desk/next", json=person) as reply:
                if reply.status == HTTPStatus.NOT_FOUND:
                    return
                reply.raise_for_status()
                conversation = (await reply.json())["conversation"]
            async with session.post(f"/v1/ops/desk/{conversation}/hand_back", json=person) as reply:
                reply.raise_for_status()
            _report(f"handed the case of {conversation} back")


def _fired(monitor: Monitor, began: float) -> set[str]:
    return {name_of(labels) for labels in monitor.fired_since(began)}


def _report(text: str) -> None:
    print(f"alerts: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
