"""The order of announcements of a conversation's sockets, which its owner and every ingress must see alike."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.turn import SocketAttached

MAX_DELAY_S: Final = 60.0
"""Longest time that a frozen server or connection holds an announcement. A greater difference is that of two hosts'
clocks, one of which is wrong: then the order of arrival counts."""


def is_late(attached: SocketAttached, newest_at: float) -> bool:
    """Return whether an announcement is of an older socket than the newest one, which was opened at `newest_at`."""
    return attached.attached_at > 0 and 0 < newest_at - attached.attached_at <= MAX_DELAY_S
