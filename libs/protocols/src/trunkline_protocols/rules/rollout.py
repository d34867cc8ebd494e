"""Draw of new conversations in a roll-out."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import FleetDraw

_DIGEST_BYTES: Final = 8
_POINTS: Final = 2 ** (8 * _DIGEST_BYTES)


def is_drawn_to_candidate(conversation: ConversationId, draw: FleetDraw) -> bool:
    """Return whether a draw gives the candidate.

    It depends on the id alone, and a greater share never takes the candidate away. The candidate's number is hashed
    too, so that not the same conversations are first in every roll-out, and no slot has more of them than another.
    """
    digest = blake2b(f"{draw.candidate}.{conversation}".encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest) * 100 < draw.share * _POINTS
