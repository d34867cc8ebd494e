"""Texts of a suite in clear, as a process that has its key file reads them."""

from __future__ import annotations

from pathlib import Path

from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_keys import CustomerKeys
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.wrapping_keys import FileWrappingKeys


async def readable_texts(bus: Bus, key_file: Path | None) -> Texts:
    """Return the texts of a suite by its wrapping key; without one they are in clear."""
    if key_file is None:
        return NO_KEYS
    keys = CustomerKeys(bus, FileWrappingKeys(key_file))
    # Without a subscription: a reader of streams has no right to one.
    await keys._refresh()
    return Texts(keys)
