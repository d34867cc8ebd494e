"""Runs a scenario, and judges which alerts have fired."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from tests.alerts.monitor import INTERVAL_S, Labels, Monitor, name_of, until
from tests.alerts.stage import Scenario, Stage
from tests.support.monitoring import alerts

_SETTLED_WITHIN_S: Final = 150.0
_RECEIVERS: Final = {"critical": "pager", "warning": "channel"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from the fault to the last of its alerts, and the companions that fired."""

    took_s: float
    companions: frozenset[str]


async def run(stage: Stage, scenario: Scenario) -> Outcome:
    """Make the fault happen; `AssertionError` if an alert of the table does not fire and arrive, or another one fires.

    Alerts of an earlier scenario, such as those with a window of ten minutes, count for neither.
    """
    monitor = stage.monitor
    before = monitor.alerts("firing") if scenario.suite != "tls" else set[Labels]()
    # A gap between two scrapes ends alerts of earlier scenarios, which fire again after it.
    earlier = monitor.fired_since(stage.began) if before else before
    for names in monitor.notifications.received.values():
        names.difference_update(scenario.alerts)
    started, began = time.monotonic(), time.time()
    async with scenario.strike(stage):
        await until(lambda: _is_complete(monitor, scenario, before, began), _expectation(scenario), scenario.within_s)
        took_s = time.monotonic() - started
    await until(lambda: not monitor.alerts("pending"), "no further alert is pending", _SETTLED_WITHIN_S)
    fired = {name_of(labels) for labels in monitor.fired_since(began - INTERVAL_S) - before - earlier}
    unlisted = fired - {*scenario.alerts, *scenario.held_back, *scenario.companions}
    assert not unlisted, f"{scenario.name}: {sorted(unlisted)} fired too; if they belong to it, give the reason"
    return Outcome(took_s, frozenset(fired & scenario.companions.keys()))


def _is_complete(monitor: Monitor, scenario: Scenario, before: set[Labels], began: float) -> bool:
    fired = {name_of(labels) for labels in monitor.fired_since(began - INTERVAL_S) - before}
    rules = alerts()
    received = monitor.notifications.received
    return (
        fired >= {*scenario.alerts, *scenario.held_back}
        and all(name in received.get(_RECEIVERS[rules[name]["labels"]["severity"]], ()) for name in scenario.alerts)
        and monitor.held_back() >= {*scenario.held_back}
    )


def _expectation(scenario: Scenario) -> str:
    held_back = f", {', '.join(scenario.held_back)} held back" if scenario.held_back else ""
    return f"{scenario.name}: {', '.join(scenario.alerts)} fires and is received{held_back}"
