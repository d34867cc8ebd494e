"""Numbering of durable frames."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_protocols.log import CustomerMessageEvent, Event, VisibleEvent


def frames_in(events: Iterable[Event]) -> int:
    """Return the number of durable frames of events: one per visible event, and `accepted` per customer message."""
    return sum(isinstance(event, CustomerMessageEvent) + isinstance(event, VisibleEvent) for event in events)
