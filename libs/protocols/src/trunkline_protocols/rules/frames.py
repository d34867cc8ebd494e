"""Numbering of durable frames."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_protocols.log import CustomerMessageEvent, Event, VisibleEvent


def frames_in(events: Iterable[Event]) -> int:
    """Count the durable frames that belong to events: what they show, and `accepted` of the messages in them."""
    return sum(isinstance(event, CustomerMessageEvent) + isinstance(event, VisibleEvent) for event in events)
