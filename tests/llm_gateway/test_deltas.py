"""Deltas: the first piece immediately, later pieces batched, none mixed, none lost but the end of the text."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import given, strategies as st
from trunkline_llm_gateway.application.deltas import (
    MAX_BATCH_S,
    MIN_BATCH_S,
    DeltaStream,
    DeltaStreams,
    batch_interval_s,
)
from trunkline_protocols.completion import DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.turn import Delta

TARGET = DeltaTarget(
    ref=TurnRef(conversation=ConversationId("c1"), turn=TurnId("c1-1"), attempt=1, hop=0),
    ingress=Instance("ingress-1"),
    source="s",
)


class RecordedStream:
    """A stream with a manual clock that records its deltas."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[Delta] = []
        self.stream = DeltaStream(TARGET, self._send, lambda: self.now)

    async def _send(self, delta: Delta) -> None:
        self.sent.append(delta)


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 0.1)), max_size=40))
async def test_deltas_concatenate_to_the_text(pieces: list[tuple[str, float]]) -> None:
    """At any pace the concatenation is the text, and only the first delta replaces."""
    recorded = RecordedStream()
    for piece, pause_s in pieces:
        await recorded.stream.add(piece)
        recorded.now += pause_s
    await recorded.stream.flush()
    sent = recorded.sent
    assert "".join(delta.text for delta in sent) == "".join(piece for piece, _ in pieces)
    assert [delta.replace for delta in sent] == [True] * bool(sent) + [False] * (len(sent) - 1)
    assert all(delta.source == "s" for delta in sent)


async def test_first_piece_is_sent_at_once_and_later_pieces_are_batched() -> None:
    """The customer sees the first word immediately; the connection is not flooded with the others."""
    recorded = RecordedStream()
    for _ in range(10):
        await recorded.stream.add("x")
        recorded.now += MIN_BATCH_S / 5
    assert [len(delta.text) for delta in recorded.sent] == [1, 5]


def test_batches_grow_with_the_number_of_streams() -> None:
    """One text flows; many share the processes that each delta wakes."""
    assert batch_interval_s(0) == batch_interval_s(1) == MIN_BATCH_S
    assert MIN_BATCH_S < batch_interval_s(4) < batch_interval_s(7) < MAX_BATCH_S
    assert batch_interval_s(1_000) == MAX_BATCH_S


async def test_streams_of_a_process_share_the_longer_interval() -> None:
    """A piece that is due for one stream is not yet due among many."""
    now, sent = 0.0, list[str]()

    async def send(ingress: str, delta: Delta) -> None:
        del ingress
        sent.append(delta.text)

    streams = DeltaStreams(send, lambda: now)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(streams.open(TARGET)) for _ in range(20)]
        first = opened[0]
        assert first is not None
        await first.add("Let")
        now += MIN_BATCH_S
        await first.add(" me")
        now += MAX_BATCH_S
        await first.add(" see")
    assert sent == ["Let", " me see"]


async def test_end_of_a_text_is_left_to_its_commit() -> None:
    """It follows within milliseconds; a message for it alone would wake two processes."""
    recorded = RecordedStream()
    await recorded.stream.add("Refunds ")
    await recorded.stream.add("take ")
    await recorded.stream.add("5 days.")
    recorded.stream.end()
    recorded.now += MAX_BATCH_S
    await recorded.stream.flush_due()
    assert [delta.text for delta in recorded.sent] == ["Refunds "]


async def test_withdrawn_text_disappears_before_its_replacement() -> None:
    """At once if any of it was displayed; the next text replaces it again, in case that delta was lost."""
    recorded = RecordedStream()
    await recorded.stream.withdraw()
    assert recorded.sent == []
    await recorded.stream.add("Half a ")
    await recorded.stream.add("sent")
    await recorded.stream.withdraw()
    await recorded.stream.withdraw()
    await recorded.stream.add("Another")
    await recorded.stream.flush()
    assert [(delta.text, delta.replace) for delta in recorded.sent] == [
        ("Half a ", True),
        ("", True),
        ("Another", True),
    ]


async def test_restarted_text_replaces_the_displayed_one() -> None:
    """The next provider's text does not follow the half sentence of the failed one."""
    recorded = RecordedStream()
    await recorded.stream.add("Half a ")
    await recorded.stream.add("sent")
    recorded.stream.restart()
    await recorded.stream.add("Whole.")
    assert [(delta.text, delta.replace) for delta in recorded.sent] == [("Half a ", True), ("Whole.", True)]


async def test_pending_text_is_sent_during_a_pause() -> None:
    """A model that pauses does not hold back its last pieces; a closed stream is not flushed."""
    now, sent = 0.0, list[tuple[str, str]]()

    async def send(ingress: str, delta: Delta) -> None:
        sent.append((ingress, delta.text))

    streams = DeltaStreams(send, lambda: now)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(streams.run())
        with streams.open(TARGET) as stream, streams.open(None) as unstreamed:
            assert unstreamed is None
            assert stream is not None
            await stream.add("Let me see")
            await stream.add(" …")
            now += MIN_BATCH_S
            async with asyncio.timeout(10):
                while len(sent) < 2:
                    await asyncio.sleep(0)
        running.cancel()
    assert sent == [("ingress-1", "Let me see"), ("ingress-1", " …")]
