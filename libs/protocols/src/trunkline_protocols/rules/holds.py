"""The holds that are active after a number of messages."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_protocols.holds import HoldMessage, HoldPlaced


def active_holds(messages: Iterable[HoldMessage]) -> list[HoldPlaced]:
    """Return the holds without a release, oldest first; the order of the messages does not matter."""
    placed: dict[str, HoldPlaced] = {}
    released: set[str] = set()
    for message in messages:
        if isinstance(message, HoldPlaced):
            placed[message.hold] = message
        else:
            released.add(message.hold)
    return sorted((hold for name, hold in placed.items() if name not in released), key=lambda hold: hold.placed_at)
