"""Draw of a colour, the queue of a request, and the queues that a process serves."""

from __future__ import annotations

import math

import msgspec
import pytest
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw
from trunkline_protocols.rules.colours import queue_of, queues_served
from trunkline_protocols.rules.rollout import is_drawn_to_candidate, is_drawn_to_colour

from tests.protocols.sample_parts import RELEASE

CONVERSATIONS = [ConversationId(f"c{number:x}") for number in range(20_000)]


@pytest.mark.parametrize("share", [1, 5, 25, 50, 99])
def test_share_of_conversations(share: int) -> None:
    """Within three standard errors; a greater share takes no conversation away."""
    drawn = [is_drawn_to_colour(each, ReleaseDraw(rollout=7, share=share)) for each in CONVERSATIONS]
    expected = share / 100
    error = math.sqrt(expected * (1 - expected) / len(drawn))
    assert abs(sum(drawn) / len(drawn) - expected) <= 3 * error
    greater = [is_drawn_to_colour(each, ReleaseDraw(rollout=7, share=share + 1)) for each in CONVERSATIONS]
    assert all(later for earlier, later in zip(drawn, greater, strict=True) if earlier)


def test_draw_is_independent_of_that_of_a_fleet_version() -> None:
    """A fleet version and a release with the same number divide the conversations differently."""
    both = [
        is_drawn_to_colour(each, ReleaseDraw(rollout=7, share=50))
        and is_drawn_to_candidate(each, FleetDraw(candidate=7, share=50))
        for each in CONVERSATIONS
    ]
    assert abs(sum(both) / len(both) - 0.25) <= 3 * math.sqrt(0.25 * 0.75 / len(both))


@pytest.mark.parametrize(
    ("wanted", "ready", "expected"),
    [
        ("green", {"blue", "green"}, "green"),
        ("green", {"blue"}, "blue"),
        ("blue", {"green", ""}, "green"),
        ("blue", {""}, ""),
        ("blue", set(), "blue"),
        ("", {"blue", "green"}, ""),
        ("blue", {"mauve"}, "blue"),
    ],
)
def test_queue_of_a_request(wanted: str, ready: set[str], expected: str) -> None:
    """Its own colour, else one with a ready process; without any it waits in its own."""
    assert queue_of(wanted, ready) == expected


def test_queues_of_a_process() -> None:
    """Those without a colour belong to the release in force."""
    running, finished = RELEASE, msgspec.structs.replace(RELEASE, phase="finished")
    assert queues_served("", running) == [""]
    assert queues_served("blue", None) == ["blue", ""]
    assert queues_served("blue", running) == ["blue", ""]
    assert queues_served("green", running) == ["green"]
    assert queues_served("blue", finished) == ["blue"]
    assert queues_served("green", finished) == ["green", ""]
