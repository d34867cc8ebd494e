"""Draw of new conversations in a roll-out, of a fleet version or a release."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw

_DIGEST_BYTES: Final = 8
_POINTS: Final = 2 ** (8 * _DIGEST_BYTES)


def is_drawn_to_candidate(conversation: ConversationId, draw: FleetDraw) -> bool:
    """Return whether a draw gives the candidate.

    It depends on the id alone, and a greater share never takes the candidate away. The candidate's number is hashed
    too, so that not the same conversations are first in every roll-out, and no slot has more of them than another.
    """
    return _is_below(draw.share, f"{draw.candidate}.{conversation}")


def is_drawn_to_colour(conversation: ConversationId, draw: ReleaseDraw) -> bool:
    """Return whether a draw gives the candidate's colour; independent of every draw between fleet versions."""
    return _is_below(draw.share, f"release.{draw.rollout}.{conversation}")


def _is_below(share: int, hashed: str) -> bool:
    digest = blake2b(hashed.encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest) * 100 < share * _POINTS
