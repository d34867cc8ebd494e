"""Numbers of durable frames: what was sent live and what a resume derives from the streams are the same."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.ledger import Ledger
from trunkline_protocols.frames import AcceptedFrame, DurableFrame, MessageFrame
from trunkline_protocols.ids import ConversationId, Instance, turn_id
from trunkline_protocols.inbox import InboxMessage, TurnReceived
from trunkline_protocols.log import Closed, Commit, CommitStored, Event, HandedOff, TurnAnswered

C = ConversationId("cabc")


class World:
    """A conversation that runs: the ledger of the ingress, the two streams, the frames that were sent."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.sent: list[DurableFrame] = []
        self.inbox: list[tuple[int, InboxMessage]] = []
        self.commits: list[CommitStored] = []
        self.answered = 0

    def say(self) -> None:
        """The customer says something."""
        inbox_seq = len(self.inbox) + 1
        message = TurnReceived(
            conversation=C,
            message_id=f"m{inbox_seq}",
            text="?",
            seq=self.ledger.next_seq,
            previous=self.ledger.last_inbox,
            customer="ada",
            tenant="default",
            region="local",
            channel="web",
            locale="en",
            ingress=Instance("ingress-1"),
            received_at=1.0,
        )
        self.inbox.append((inbox_seq, message))
        self.sent.append(self.ledger.accept(message.message_id, inbox_seq))

    def hand_off(self) -> None:
        """The turn under way changes hands."""
        if self.answered < len(self.inbox):
            event = HandedOff(from_="billing", to="technical", agent="wifi", reason="r", summary="s")
            self._commit("handoff", [event])

    def answer(self) -> None:
        """The oldest unanswered message is answered."""
        if self.answered < len(self.inbox):
            message = self.inbox[self.answered][1]
            assert isinstance(message, TurnReceived)
            event = TurnAnswered(
                message_id=message.message_id,
                accepted_seq=message.seq,
                customer_text=message.text,
                received_at=1.0,
                text="Soon.",
                specialty="billing",
                agent="one",
            )
            self.answered += 1
            self._commit("turn", [event])

    def close(self) -> None:
        """The end, after all answers."""
        if self.answered == len(self.inbox):
            self._commit("closed", [Closed(reason="done")])

    def _commit(self, kind: str, events: list[Event]) -> None:
        previous = self.commits[-1].sequence if self.commits else 0
        inbox_seq = self.answered + (1 if kind == "handoff" else 0)
        commit = Commit(
            conversation=C,
            region="local",
            tenant="default",
            customer="ada",
            kind=kind,  # type: ignore[arg-type]
            turn=turn_id(C, inbox_seq),
            epoch=0,
            owner="billing",
            agent="one",
            inbox_seq=inbox_seq,
            previous=previous,
            at=1.0,
            events=events,
        )
        stored = CommitStored(sequence=previous + 3, commit=commit)
        self.commits.append(stored)
        self.sent.extend(self.ledger.commit(stored))

    def replay(self) -> tuple[Ledger, list[DurableFrame]]:
        """What another ingress derives from the streams."""
        done = max((stored.commit.inbox_seq for stored in self.commits if stored.commit.kind != "handoff"), default=0)
        return Ledger.replay(self.commits, [item for item in self.inbox if item[0] > done])


steps = st.lists(st.sampled_from(["say", "answer", "hand_off", "say", "answer"]), max_size=40)


@given(steps)
def test_another_ingress_derives_the_frames_that_were_sent(script: list[str]) -> None:
    """Whatever the order of messages, answers and handoffs: same frames, same numbers, no gap."""
    world = World()
    for step in script:
        getattr(world, step)()
    ledger, frames = world.replay()
    assert frames == world.sent
    assert [frame.seq for frame in frames] == list(range(2, 2 + len(frames)))
    assert ledger.high == world.ledger.high
    assert ledger.last_commit == world.ledger.last_commit
    assert ledger.unanswered == world.ledger.unanswered
    assert ledger.accepted == world.ledger.accepted


@given(steps, steps)
def test_conversation_goes_on_after_a_replay_as_if_nothing_had_happened(before: list[str], after: list[str]) -> None:
    """The derived ledger gives the numbers that the first one would have given."""
    world = World()
    for step in before:
        getattr(world, step)()
    world.ledger, _ = world.replay()
    for step in after:
        getattr(world, step)()
    assert [frame.seq for frame in world.sent] == list(range(2, 2 + len(world.sent)))


def test_messages_sent_at_once_are_numbered_before_their_answers() -> None:
    """Two questions, then two answers."""
    world = World()
    for step in ("say", "say", "answer", "answer"):
        getattr(world, step)()
    assert [(type(frame), frame.seq) for frame in world.sent] == [
        (AcceptedFrame, 2),
        (AcceptedFrame, 3),
        (MessageFrame, 4),
        (MessageFrame, 5),
    ]


def test_closed_conversation_is_closed_for_who_resumes() -> None:
    """The end is a frame like any other."""
    world = World()
    world.say()
    world.answer()
    world.close()
    ledger, frames = world.replay()
    assert ledger.closed
    assert frames == world.sent
