"""Fleet version of a conversation during a roll-out: drawn once, kept until the end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_conversation.application.environment import with_fleet_version
from trunkline_conversation.core.decisions import system_answer
from trunkline_conversation.core.state import Conversation, from_snapshot, to_snapshot
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import FleetDraw, FleetRollout, RolloutPhase
from trunkline_protocols.rules.rollout import is_drawn_to_candidate

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, begun, committed, fleet_version, fresh

SERVED, CANDIDATE, NEXT = fleet_version(5), fleet_version(12), fleet_version(17)
ROLLOUT = FleetRollout(
    candidate=12,
    served=5,
    shares=[5, 25, 100],
    hold_s=600,
    min_turns=30,
    slow_s=1,
    started_at=1.0,
    started_by="ada",
    commits_after=0,
)
NUMBER = 12
"""Conversations of a simulated roll-out."""


def fleets(share: int, phase: RolloutPhase = "running") -> ServedFleets:
    """Return the versions of a process during a roll-out."""
    return ServedFleets(SERVED, CANDIDATE, msgspec.structs.replace(ROLLOUT, share=share, phase=phase))


def turn(state: Conversation, known: ServedFleets) -> Conversation:
    """Answer one more message of a conversation."""
    state = with_fleet_version(state, known)
    answer = system_answer(state, begun(state, state.turns + 1), "Soon.")
    return committed(state, answer, inbox_seq=state.turns + 1, sequence=state.sequence + 1)


@given(
    shares=st.lists(st.integers(0, 100), min_size=1, max_size=6),
    messages=st.lists(st.tuples(st.integers(0, NUMBER - 1), st.booleans()), max_size=60),
    served_later=st.booleans(),
)
def test_no_conversation_changes_its_version(
    shares: list[int],
    messages: list[tuple[int, bool]],
    served_later: bool,  # noqa: FBT001
) -> None:
    """At rising and falling shares, over restarts of processes; at the end all have the served version."""
    states = [Conversation(id=ConversationId(f"c{index}"), region="local") for index in range(NUMBER)]
    versions: dict[int, int] = {}
    draws: dict[int, FleetDraw | None] = {}
    for number, (index, is_restarted) in enumerate(messages):
        known = fleets(shares[number * len(shares) // len(messages)])
        state = turn(states[index], known)
        assert state.fleet_version == versions.setdefault(index, state.fleet_version)
        assert state.draw == draws.setdefault(index, state.draw)
        if state.draw is not None:
            expected = 12 if is_drawn_to_candidate(state.id, state.draw) else 5
            assert state.fleet_version == expected
        states[index] = from_snapshot(to_snapshot(state), "local") if is_restarted else state
    end = ServedFleets(NEXT) if served_later else fleets(0, "withdrawn")
    assert {turn(state, end).fleet_version for state in states} == {17 if served_later else 5}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (fleets(100), (12, FleetDraw(candidate=12, share=100))),
        (fleets(0), (5, None)),
        (fleets(100, "withdrawn"), (5, None)),
        (fleets(100, "finished"), (5, None)),
        (ServedFleets(SERVED), (5, None)),
        (ServedFleets(SERVED, CANDIDATE), (5, None)),
    ],
)
def test_version_of_a_new_conversation(known: ServedFleets, expected: tuple[int, FleetDraw | None]) -> None:
    """The served one without an active roll-out, a share, and a readable state."""
    state = with_fleet_version(fresh(), known)
    assert (state.fleet_version, state.draw) == expected


def test_unreadable_state_leaves_the_served_version_only() -> None:
    """For conversations of the candidate too, from their next turn on; a turn in flight keeps its fleet."""
    state = turn(fresh(), fleets(100))
    assert state.fleet_version == 12
    assert turn(state, ServedFleets(SERVED)).fleet_version == 5
    assert fleets(0, "withdrawn").of(12) is CANDIDATE


async def test_version_and_draw_are_in_every_commit_and_in_the_work() -> None:
    """Also after the share has changed, and in a process that has taken the conversation over."""
    harness = ActorHarness()
    harness.fleets = fleets(100)
    harness.deliver(1)
    await harness.actor.run()
    harness.fleets = fleets(0)
    harness.actor = harness.new_actor(CONVERSATION)
    harness.deliver(2)
    await harness.actor.run()
    drawn: Any = FleetDraw(candidate=12, share=100)
    assert [(each.commit.fleet_version, each.commit.draw) for each in harness.log.stored] == [(12, drawn)] * 2
    assert {request.fleet_version for request in harness.work_queue.requests} == {12}
