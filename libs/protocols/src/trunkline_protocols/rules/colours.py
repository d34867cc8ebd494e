"""Colours of conversations in the roll-out of a release, and of the queues that their work goes to."""

from __future__ import annotations

from collections.abc import Collection

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import ReleaseDraw, ReleaseRollout
from trunkline_protocols.rules.rollout import is_drawn_to_colour
from trunkline_protocols.subjects import COLOURS, QueueColour


def draw_of_new(release: ReleaseRollout | None) -> ReleaseDraw | None:
    """Return the draw of a conversation that begins now, None without a share."""
    if release is None or not release.is_active or release.share == 0:
        return None
    return ReleaseDraw(rollout=release.number, share=release.share)


def colour_of(release: ReleaseRollout | None, conversation: ConversationId, draw: ReleaseDraw | None) -> QueueColour:
    """Return the colour of a conversation that began with `draw`; none if no release has a colour.

    As long as a roll-out is active, its draws decide; every other conversation has the colour in force.
    """
    if release is None:
        return ""
    is_of_rollout = release.is_active and draw is not None and draw.rollout == release.number
    is_candidate = is_of_rollout and draw is not None and is_drawn_to_colour(conversation, draw)
    return release.candidate if is_candidate else release.in_force


def queue_of(wanted: str, ready: Collection[str]) -> QueueColour:
    """Return the queue for work of a conversation; `ready` are the colours with a ready process of the specialty.

    If no process of the wanted colour is ready, an answer by another release is better than none.
    """
    if not wanted:
        return ""
    others: tuple[QueueColour, ...] = (*COLOURS, "")
    preferred = sorted(others, key=lambda colour: colour != wanted)
    return next((colour for colour in preferred if colour in ready), preferred[0])


def queues_served(own: QueueColour, release: ReleaseRollout | None) -> list[QueueColour]:
    """Return the queues that an agents process serves.

    The one without a colour holds the work of conversation processes that know no colours: the release in force serves
    it, and every process as long as nothing says which one that is.
    """
    if not own:
        return [""]
    return [own, ""] if release is None or release.in_force == own else [own]
