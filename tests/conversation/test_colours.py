"""Colour of a conversation during the roll-out of a release: drawn once, kept until the end, never a reason to wait."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_conversation.application.environment import ready_colours, with_colour
from trunkline_conversation.core.decisions import system_answer
from trunkline_conversation.core.state import Conversation, from_snapshot, to_snapshot
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.presence import Presence, ProcessState
from trunkline_protocols.rollout import ReleaseDraw, ReleaseRollout, RolloutPhase
from trunkline_protocols.rules.rollout import is_drawn_to_colour

from tests.conversation.actor_harness import TIMEOUTS, ActorHarness
from tests.conversation.builders import CONVERSATION, begun, committed, fresh

ROLLOUT = ReleaseRollout(
    number=7,
    candidate="green",
    served="blue",
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


def release(share: int, phase: RolloutPhase = "running", number: int = 7) -> ReleaseRollout:
    """Return the state of a roll-out from blue to green."""
    return msgspec.structs.replace(ROLLOUT, share=share, phase=phase, number=number)


def turn(state: Conversation, known: ReleaseRollout | None) -> Conversation:
    """Answer one more message of a conversation."""
    state = with_colour(state, known)
    answer = system_answer(state, begun(state, state.turns + 1), "Soon.")
    return committed(state, answer, inbox_seq=state.turns + 1, sequence=state.sequence + 1)


@given(
    shares=st.lists(st.integers(0, 100), min_size=1, max_size=6),
    messages=st.lists(st.tuples(st.integers(0, NUMBER - 1), st.booleans()), max_size=60),
    phase=st.sampled_from(["finished", "withdrawn"]),
)
def test_no_conversation_changes_its_colour(
    shares: list[int], messages: list[tuple[int, bool]], phase: RolloutPhase
) -> None:
    """At rising and falling shares, over restarts of processes; at the end all have the colour in force."""
    states = [Conversation(id=ConversationId(f"c{index}"), region="local") for index in range(NUMBER)]
    colours: dict[int, str] = {}
    draws: dict[int, ReleaseDraw | None] = {}
    for number, (index, is_restarted) in enumerate(messages):
        state = turn(states[index], release(shares[number * len(shares) // len(messages)]))
        assert state.colour == colours.setdefault(index, state.colour)
        assert state.release_draw == draws.setdefault(index, state.release_draw)
        if state.release_draw is not None:
            assert state.colour == ("green" if is_drawn_to_colour(state.id, state.release_draw) else "blue")
        states[index] = from_snapshot(to_snapshot(state), "local") if is_restarted else state
    end = release(0, phase)
    assert {turn(state, end).colour for state in states} == {"green" if phase == "finished" else "blue"}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, ("", None)),
        (release(100), ("green", ReleaseDraw(rollout=7, share=100))),
        (release(0, "preparing"), ("blue", None)),
        (release(100, "finishing"), ("green", ReleaseDraw(rollout=7, share=100))),
        (release(100, "finished"), ("green", None)),
        (release(0, "withdrawn"), ("blue", None)),
    ],
)
def test_colour_of_a_new_conversation(known: ReleaseRollout | None, expected: tuple[str, ReleaseDraw | None]) -> None:
    """That in force without an active roll-out and a share; none before a release has a colour."""
    state = with_colour(fresh(), known)
    assert (state.colour, state.release_draw) == expected


def test_draw_of_a_withdrawn_rollout_counts_no_more() -> None:
    """The same colour is rolled out again: conversations of the former attempt stay where they are."""
    state = turn(fresh(), release(100))
    assert state.colour == "green"
    assert turn(state, release(0, "withdrawn")).colour == "blue"
    assert turn(state, release(100, number=9)).colour == "blue"


async def test_colour_and_draw_are_in_every_commit_and_choose_the_queue() -> None:
    """Also after the share has changed, and in a process that has taken the conversation over."""
    harness = ActorHarness()
    harness.release, harness.ready = release(100), {"blue", "green"}
    harness.deliver(1)
    await harness.actor.run()
    harness.release = release(0)
    harness.actor = harness.new_actor(CONVERSATION)
    harness.deliver(2)
    await harness.actor.run()
    draw = ReleaseDraw(rollout=7, share=100)
    assert [(each.commit.colour, each.commit.release_draw) for each in harness.log.stored] == [("green", draw)] * 2
    assert set(harness.work_queue.colours) == {"green"}


async def test_other_release_answers_if_none_of_the_own_one_is_ready() -> None:
    """The conversation keeps its colour: its next turn goes to its own agents again."""
    harness = ActorHarness()
    harness.release, harness.ready = release(100), {"blue"}
    harness.deliver(1)
    await harness.actor.run()
    harness.ready = {"blue", "green"}
    harness.deliver(2)
    await harness.actor.run()
    assert {each.commit.colour for each in harness.log.stored} == {"green"}
    assert (harness.work_queue.colours[0], harness.work_queue.colours[-1]) == ("blue", "green")


async def test_waiting_work_of_a_dead_release_moves() -> None:
    """Its last process died with the work in the queue: the request is appended to the queue of the other one."""
    harness = ActorHarness()
    harness.release, harness.ready = release(100), {"blue", "green"}
    harness.work_queue.react = lambda request: (
        harness.answer(request) if harness.work_queue.colours[-1] == "blue" else None
    )
    harness.work_queue.has_work = True
    harness.deliver(1)
    running = asyncio.ensure_future(harness.actor.run())
    now = asyncio.get_running_loop().time()
    for step in range(1, 5):
        await asyncio.sleep(0)
        if step == 2:
            harness.ready = {"blue"}
        for _ in range(20):
            await asyncio.sleep(0)
        harness.actor.check_timeouts(now + step * 2 * TIMEOUTS.unclaimed_s)
    async with asyncio.timeout(10):
        await running
    assert harness.work_queue.colours[:2] == ["green", "blue"]
    assert harness.log.answers() == ["m1"]


async def test_waiting_work_stays_while_its_queue_is_served() -> None:
    """It fell back to the other release and waits there: published again for its own one, it would be done twice."""
    harness = ActorHarness()
    harness.release, harness.ready = release(100), {"blue"}
    harness.work_queue.react = lambda _: None
    harness.work_queue.has_work = True
    harness.deliver(1)
    running = asyncio.ensure_future(harness.actor.run())
    now = asyncio.get_running_loop().time()
    for step in range(1, 4):
        for _ in range(20):
            await asyncio.sleep(0)
        harness.ready = {"blue", "green"}
        harness.actor.check_timeouts(now + step * 2 * TIMEOUTS.unclaimed_s)
    harness.answer(harness.work_queue.requests[-1])
    harness.work_queue.react = harness.answer
    async with asyncio.timeout(10):
        await running
    assert harness.work_queue.colours == ["blue", "green"]
    assert [request.specialty for request in harness.work_queue.requests] == ["triage", "billing"]


def presence(colour: str, specialties: list[str], state: ProcessState = "ready") -> Presence:
    """Return the heartbeat of an agents process."""
    return Presence(
        service="agents",
        instance=f"agents-{colour}",
        pid=1,
        state=state,
        version="1",
        node="",
        started_at=0.0,
        at=0.0,
        colour=colour,
        specialties=specialties,
    )


def test_only_ready_processes_receive_work() -> None:
    """One that starts has no queue yet, one that drains requests no more work."""
    agents = [
        presence("", ["triage"]),
        presence("blue", ["triage", "billing"]),
        presence("green", ["billing"], "starting"),
        presence("green", ["triage"], "draining"),
    ]
    assert ready_colours(agents) == {"triage": frozenset({"", "blue"}), "billing": frozenset({"blue"})}
