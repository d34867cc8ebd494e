"""Hours of the desk: open, closed, the next opening, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols.fleet import DeskHours
from trunkline_protocols.rules.desk_hours import find_hours_defect, is_open, next_opening, opening_text

LONDON = DeskHours(timezone="Europe/London", monday="08:00-18:00", wednesday="09:30-12:00", holidays=["2026-12-28"])


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-07-06T07:00", True),  # summer time: 08:00 in London
        ("2026-07-06T06:59", False),
        ("2026-12-07T08:00", True),
        ("2026-12-07T18:00", False),
        ("2026-12-28T10:00", False),  # a holiday
        ("2026-12-29T10:00", False),  # Tuesday
    ],
)
def test_desk_is_open_in_its_own_timezone(time: str, expected: bool) -> None:  # noqa: FBT001
    """Holidays and days without hours are closed."""
    assert is_open(LONDON, at(time)) is expected


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-12-07T06:00", "today at 08:00"),
        ("2026-12-07T19:00", "on Wednesday at 09:30"),
        ("2026-12-24T10:00", "on Wednesday at 09:30"),
    ],
)
def test_next_opening_is_named(time: str, text: str) -> None:
    """The holiday in between is skipped."""
    assert opening_text(next_opening(LONDON, at(time)), at(time)) == text


def test_desk_without_hours_is_always_open() -> None:
    """And one that never opens says so."""
    assert is_open(DeskHours(), at("2026-12-25T03:00"))
    closed = DeskHours(
        monday="08:00-09:00", holidays=[f"2026-{month:02}-{day:02}" for month in (11, 12) for day in range(1, 31)]
    )
    assert next_opening(closed, at("2026-11-10T12:00")) is None
    assert opening_text(None, 0.0) == "again later"


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)))  # noqa: DTZ001
def test_desk_is_open_from_its_next_opening_on(moment: datetime) -> None:
    """At any time of the year."""
    opening = next_opening(LONDON, moment.replace(tzinfo=UTC).timestamp())
    assert opening is not None
    assert is_open(LONDON, opening.timestamp())
    assert not is_open(LONDON, (opening - timedelta(minutes=1)).timestamp())


@pytest.mark.parametrize(
    ("hours", "defect"),
    [
        (LONDON, ""),
        (DeskHours(timezone="Europe/Atlantis"), "timezone 'Europe/Atlantis' is unknown"),
        (DeskHours(friday="18:00-08:00"), "friday '18:00-08:00' ends before it begins"),
        (DeskHours(holidays=["Christmas"]), "holiday 'Christmas' is not a date"),
    ],
)
def test_defect_is_named(hours: DeskHours, defect: str) -> None:
    """Of timezone, hours and holidays."""
    assert find_hours_defect(hours) == defect
