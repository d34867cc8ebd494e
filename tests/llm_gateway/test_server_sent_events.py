"""Server-sent events, with the examples of the standard and of the browsers' shared tests."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from trunkline_llm_gateway.core.server_sent_events import EventReader, EventTooLongError

STREAMS = {
    # Examples of the standard, section "Interpreting an event stream".
    "several data lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"]),
    "comment, ids, optional space": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [b"first event", b"second event", b" third event"],
    ),
    "empty data, and two empty lines of it": (b"data\n\ndata\ndata\n\n", [b"", b"\n"]),
    "space after the colon is one": (b"data:test\n\ndata: test\n\n", [b"test", b"test"]),
    # Shared tests of the browsers, eventsource/format-*.any.js.
    "byte order mark": (b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", [b"1", b"3"]),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n", [b"2"]),
    "comments": (b"data:1\r:\0\n:\r\ndata:2\n:\0\rdata:3\r:data:fail\r:\ndata:4\n\n", [b"1\n2\n3\n4"]),
    "mixed line ends": (b"data:test\r\ndata\ndata:test\r\n\r", [b"test\n\ntest"]),
    "unknown fields": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        [b"test\n\ntest"],
    ),
    "field names are case-sensitive": (b"DATA:1\nData:2\ndata:3\n\n", [b"3"]),
    "leading space": (b"data:\ttest\rdata: \ndata:test\n\n", [b"\ttest\n\ntest"]),
    "null character": (b"data:\0\n\n", [b"\0"]),
    "names": (b"event: error\ndata: x\n\nevent:test\ndata:y\n\nevent: none\n\n", [b"x", b"y"]),
    "retry and many blank lines": (b"retry: 10\n\n\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    "only CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "only CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "not UTF-8": (b"data: \xff\xfe\n\n", [b"\xff\xfe"]),
    # Not in the standard, which discards it.
    "no blank line at the end": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "no blank line at the end, several lines": (b"data: a\ndata: b\n", [b"a\nb"]),
    "nothing": (b"", []),
    "only comments": (b": keep-alive\n\n: keep-alive\n\n", []),
}


def _read(chunks: list[bytes]) -> list[bytes]:
    reader = EventReader()
    return [*itertools.chain.from_iterable(reader.feed(chunk) for chunk in chunks), *reader.end()]


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_stream_is_interpreted_as_the_standard_says(stream: bytes, events: list[bytes], size: int) -> None:
    """Wherever the network cuts it, also between CR and LF and inside the byte order mark."""
    assert _read([stream[start : start + size] for start in range(0, len(stream), size)]) == events


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
def test_event_is_returned_with_its_blank_line(ending: bytes) -> None:
    """Not with the next event: a reader waits for its text."""
    reader = EventReader()
    assert reader.feed(b"data: a" + ending) == []
    assert reader.feed(ending) == [b"a"]
    assert reader.feed(b"\ndata: b" + ending + ending) == [b"b"]


@given(st.lists(st.sampled_from([b"data: a", b"data", b"\n", b"\r", b"\r\n", b": c", b"\xef\xbb\xbf", b"id: 1"])))
def test_chunk_boundaries_do_not_matter(parts: list[bytes]) -> None:
    """For any stream."""
    assert _read(parts) == _read([b"".join(parts)])


@given(st.lists(st.binary(max_size=20).filter(lambda data: b"\n" not in data and b"\r" not in data)))
def test_data_of_every_event_is_returned_unchanged(payloads: list[bytes]) -> None:
    """Mixed line ends; comments and names are skipped."""
    wire = b"".join(b": ping\nevent: x\r\ndata: " + payload + b"\r\n\n" for payload in payloads)
    assert _read([wire]) == payloads


def test_event_without_end_is_an_error() -> None:
    """Its buffer is bounded, for one long line and for many short ones."""
    for piece in (b"x" * 50, b"data: x\n" * 6):
        reader = EventReader(max_bytes=1_000)
        with pytest.raises(EventTooLongError):
            [reader.feed(piece) for _ in range(30)]
