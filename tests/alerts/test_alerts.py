"""The table of faults has every alert, and one fault goes from its process to the receiver; all: `./just alerts`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alerts.runner import run
from tests.alerts.short import FACTOR, divided
from tests.alerts.suites import staged
from tests.alerts.table import SCENARIOS, UNIT_TESTED
from tests.support.monitoring import alerts, program


def test_every_alert_has_a_fault_or_the_reason_why_not() -> None:
    """A new rule is not forgotten, and a renamed one is noticed."""
    caused = {name for scenario in SCENARIOS for name in (*scenario.alerts, *scenario.held_back)}
    assert caused | UNIT_TESTED.keys() == alerts().keys()
    assert not caused & UNIT_TESTED.keys()


def test_companions_are_alerts_with_a_reason() -> None:
    """An alert of the table is either expected or permitted."""
    for scenario in SCENARIOS:
        assert scenario.companions.keys() <= alerts().keys()
        assert all(scenario.companions.values())
        assert not scenario.companions.keys() & {*scenario.alerts, *scenario.held_back}
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_waiting_times_are_divided() -> None:
    """In milliseconds, so that none becomes zero."""
    assert [divided(text, FACTOR) for text in ("10s", "5m", "1h")] == ["333ms", "10000ms", "120000ms"]


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(400)
async def test_alert_of_a_dead_letter_arrives(tmp_path: Path) -> None:
    """From an unreadable message to the web server of the receiver, and no other alert fires."""
    program("prometheus")
    [scenario] = [each for each in SCENARIOS if each.name == "dead letter"]
    async with staged("default", tmp_path / "stage", factor=FACTOR) as stage:
        await run(stage, scenario)
