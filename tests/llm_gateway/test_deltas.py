"""Deltas: the first at once, then gathered, never lost and never mixed."""

from __future__ import annotations

import asyncio

from hypothesis import given, strategies as st
from trunkline_llm_gateway.application.deltas import GATHER_S, DeltaStream, DeltaStreams
from trunkline_protocols.completion import DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.turn import Delta

TARGET = DeltaTarget(
    ref=TurnRef(conversation=ConversationId("c1"), turn=TurnId("c1-1"), attempt=1, hop=0),
    ingress=Instance("ingress-1"),
    source="s",
)


class Line:
    """Keeps what is sent; has the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[Delta] = []
        self.stream = DeltaStream(TARGET, self._send, lambda: self.now)

    async def _send(self, delta: Delta) -> None:
        self.sent.append(delta)


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 0.1)), max_size=40))
async def test_deltas_make_up_the_text(pieces: list[tuple[str, float]]) -> None:
    """Whatever the pace, the concatenation is the text, and only the first delta replaces."""
    line = Line()
    for piece, pause_s in pieces:
        await line.stream.add(piece)
        line.now += pause_s
    await line.stream.flush()
    assert "".join(delta.text for delta in line.sent) == "".join(piece for piece, _ in pieces)
    assert [delta.replace for delta in line.sent] == [True] * bool(line.sent) + [False] * (len(line.sent) - 1)
    assert all(delta.source == "s" for delta in line.sent)


async def test_first_piece_is_sent_at_once_and_later_ones_are_gathered() -> None:
    """The customer sees the first word without waiting; the line is not flooded with the others."""
    line = Line()
    for _ in range(10):
        await line.stream.add("x")
        line.now += GATHER_S / 5
    assert [len(delta.text) for delta in line.sent] == [1, 5]


async def test_text_that_starts_anew_replaces_what_was_shown() -> None:
    """The next provider's text does not follow the half sentence of the one that failed."""
    line = Line()
    await line.stream.add("Half a ")
    await line.stream.add("sent")
    line.stream.start_anew()
    await line.stream.add("Whole.")
    assert [(delta.text, delta.replace) for delta in line.sent] == [("Half a ", True), ("Whole.", True)]


async def test_text_that_a_pause_leaves_waiting_is_sent() -> None:
    """A model that stops to think does not hold back what it has said; a stream that has ended is left alone."""
    now, sent = 0.0, list[tuple[str, str]]()

    async def send(ingress: str, delta: Delta) -> None:
        sent.append((ingress, delta.text))

    streams = DeltaStreams(send, lambda: now)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(streams.run())
        with streams.stream(TARGET) as stream, streams.stream(None) as nobody:
            assert nobody is None
            assert stream is not None
            await stream.add("Let me see")
            await stream.add(" …")
            now += GATHER_S
            async with asyncio.timeout(10):
                while len(sent) < 2:
                    await asyncio.sleep(0)
        running.cancel()
    assert sent == [("ingress-1", "Let me see"), ("ingress-1", " …")]
