"""Hours of the desk: whether people are there, and when they are next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trunkline_protocols.fleet import DeskHours

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MAX_DAYS: Final = 15
"""Days in which an opening is looked for: longer than any row of holidays."""


def find_hours_defect(hours: DeskHours) -> str:
    """Return what is wrong with hours, an empty string if nothing is."""
    try:
        ZoneInfo(hours.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"timezone {hours.timezone!r} is unknown"
    for day in _DAYS:
        opens, closes = _span(hours, day)
        if getattr(hours, day) and opens >= closes:
            return f"{day} {getattr(hours, day)!r} ends before it begins"
    for holiday in hours.holidays:
        try:
            date.fromisoformat(holiday)
        except ValueError:
            return f"holiday {holiday!r} is not a date"
    return ""


def is_open(hours: DeskHours, now: float) -> bool:
    """Return whether the desk is open at `now`, Unix time in seconds; without any hours it always is."""
    if not any(getattr(hours, day) for day in _DAYS):
        return True
    at = datetime.fromtimestamp(now, ZoneInfo(hours.timezone))
    return any(opens <= at < closes for opens, closes in _spans(hours, at))


def next_opening(hours: DeskHours, now: float) -> datetime | None:
    """Return the next time at which the desk opens after `now`; None if it does not within two weeks."""
    at = datetime.fromtimestamp(now, ZoneInfo(hours.timezone))
    return next((opens for opens, _ in _spans(hours, at) if opens > at), None)


def opening_text(opening: datetime | None, now: float) -> str:
    """Return an opening as customers read it, for example `on Monday at 08:00`."""
    if opening is None:
        return "again later"
    today = datetime.fromtimestamp(now, UTC).astimezone(opening.tzinfo).date()
    if opening.date() == today:
        return f"today at {opening:%H:%M}"
    return f"on {opening:%A} at {opening:%H:%M}"


def _spans(hours: DeskHours, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield opening and closing times from the day of `at` on."""
    for number in range(_MAX_DAYS):
        day = at.date() + timedelta(days=number)
        name = _DAYS[day.weekday()]
        if getattr(hours, name) and day.isoformat() not in hours.holidays:
            opens, closes = _span(hours, name)
            yield datetime.combine(day, opens, at.tzinfo), datetime.combine(day, closes, at.tzinfo)


def _span(hours: DeskHours, day: str) -> tuple[time, time]:
    opens, _, closes = (getattr(hours, day) or "00:00-00:01").partition("-")
    return time.fromisoformat(opens), time.fromisoformat(closes)
