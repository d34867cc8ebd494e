"""Records of the overload bench: what counts as lost, doubled and normal again."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from bench.overload import Conversation, Frame, Load, Phase, Turn, normal_after_s, report

LOW, HIGH, AFTER = Phase("before", 1, 1), Phase("overload", 9, 1), Phase("after", 1, 1)
END_AT = 100.0


def turn(due_at: float, response_s: float | None, *, phase: Phase = LOW, refused: bool = False) -> Turn:
    """Return a turn with its response time, None without an answer."""
    answered_at = None if response_s is None else due_at + response_s
    accepted_at = None if refused else due_at
    return Turn("m1", phase, "", due_at, due_at, accepted_at, answered_at, retry_after_s=[2.0] if refused else [])


BEFORE = [turn(0.0, 0.1), turn(1.0, 0.1)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([turn(100.5, 0.15), turn(101.5, 0.15)], 0),
        ([turn(100.5, 0.9), turn(101.5, 0.9), turn(102.5, 0.1)], 2),
        ([turn(100.5, None, refused=True), turn(101.5, 0.1)], 1),
        # One slow turn among quick ones is no overload.
        ([turn(100.5, 0.1), turn(100.6, 0.1), turn(100.7, 0.9)], 0),
        ([turn(100.5, 0.1), turn(101.5, 0.1), turn(102.5, 0.9)], None),
    ],
    ids=["at once", "slow", "refused", "one of many", "not within the phase"],
)
def test_overload_is_over_with_the_last_refused_or_slow_second(after: list[Turn], expected: int | None) -> None:
    """Seconds count from the end of the overload; slow is more than twice the median before."""
    assert normal_after_s(BEFORE, after, END_AT) == expected


class Socket:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send_json(self, frame: dict[str, Any]) -> None:
        self.sent.append(frame)


@pytest.mark.parametrize("retries", [False, True])
async def test_refused_turn_is_sent_again_under_its_id_only_with_retries(*, retries: bool) -> None:
    """Without retries the conversation is free for the next turn; a refused one that is answered is a violation."""
    idle: deque[Conversation] = deque()
    socket = Socket()
    conversation = Conversation(socket, idle, retries=retries)  # type: ignore[arg-type]
    await conversation.send(Turn("m1", HIGH, "hello", 10.0))
    await conversation.record(Frame("error", id="m1", code="unavailable", retry_after_s=0.01), 11.0)
    assert [frame["id"] for frame in socket.sent] == ["m1", "m1"][: 1 + retries]
    assert list(idle) == ([] if retries else [conversation])
    await conversation.record(Frame("message", in_reply_to="m1"), 12.0)
    load = Load(seed=1, retries=retries)
    load.conversations.append(conversation)
    load.ends_at["overload"] = END_AT
    low = Conversation(socket, idle, retries=retries)  # type: ignore[arg-type]
    low.turns |= {"m1": turn(0.0, 0.1), "m2": turn(100.5, 0.1, phase=AFTER)}
    load.conversations.append(low)
    figures = report(load, (LOW, HIGH, AFTER))
    assert (figures["answered_though_refused"], figures["lost"], figures["doubled"]) == (1, 0, 0)
    assert figures["overload"]["refused"] == 1


async def test_accepted_turn_without_an_answer_is_lost_and_one_with_two_is_doubled() -> None:
    """The bench fails on both."""
    conversation = Conversation(Socket(), deque(), retries=False)  # type: ignore[arg-type]
    for id_ in ("m1", "m2"):
        await conversation.send(Turn(id_, HIGH, "hello", 10.0))
        await conversation.record(Frame("accepted", id=id_), 10.1)
    for _ in range(2):
        await conversation.record(Frame("message", in_reply_to="m2"), 11.0)
    conversation.turns |= {"b": turn(0.0, 0.1), "a": turn(100.5, 0.1, phase=AFTER)}
    load = Load(seed=1, retries=False)
    load.conversations.append(conversation)
    load.ends_at["overload"] = END_AT
    figures = report(load, (LOW, HIGH, AFTER))
    assert (figures["lost"], figures["doubled"], figures["without_reply"]) == (1, 1, 0)
    assert figures["overload"]["response_ms"]["p50"] == 1000.0
