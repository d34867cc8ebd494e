"""Parsing of client frames: a bad frame leaves the socket open, text that is not JSON closes it."""

from __future__ import annotations

import json

import pytest
from aiohttp import WSCloseCode, WSMessage, WSMsgType
from trunkline_ingress.handlers.frame_errors import CloseSocketError, FrameError
from trunkline_ingress.handlers.frame_parser import parse_frame
from trunkline_protocols.frames import MAX_FRAME_BYTES, MAX_TEXT_CHARACTERS, Message


def text(frame: str) -> WSMessage:
    return WSMessage(WSMsgType.TEXT, frame, None)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"message","id":"m1","text":7}',
        '{"type":"message","id":"m1","text":"","more":"\\ud83d"}',
        '{"type":"message","id":"m1","text":"","more":' + "9" * 5_000 + "}",
        '{"id":"m1"}',
        '{"type":"dance","id":"m1","text":"\\ude00"}',
    ],
)
def test_json_that_is_no_frame_is_an_error_with_its_id(frame: str) -> None:
    """A half character in another field is no reason to end the conversation."""
    with pytest.raises(FrameError) as raised:
        parse_frame(text(frame))
    assert (raised.value.frame.code, raised.value.frame.id) == ("bad_frame", "m1")


@pytest.mark.parametrize("frame", ["[" * 5_000 + "]" * 5_000, '{"a":' * 9_000 + "1" + "}" * 9_000, "7", "null", "[]"])
def test_deep_json_and_other_json_is_an_error_without_an_id(frame: str) -> None:
    """Nesting is no reason to end the conversation."""
    with pytest.raises(FrameError) as raised:
        parse_frame(text(frame))
    assert raised.value.frame.code == "bad_frame"


@pytest.mark.parametrize(
    "frame", ["", "not json", '{"type":"dance",', '{"type":"message","id":"m1","text":7} x', '{"rating":NaN}', "'a'"]
)
def test_text_that_is_not_json_closes_the_socket(frame: str) -> None:
    """Also if its beginning is refused before the fault is reached."""
    with pytest.raises(CloseSocketError) as raised:
        parse_frame(text(frame))
    assert raised.value.close_code == WSCloseCode.INVALID_TEXT


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud83d\ude00", "\N{GRINNING FACE}"),
        (r"half an emoji \ud83d", "half an emoji \N{REPLACEMENT CHARACTER}"),
        (r"\ude00\ud83d", "\N{REPLACEMENT CHARACTER}" * 2),
        (r"\\ud83d", r"\ud83d"),
        ("\ud83d\ude00", "\N{GRINNING FACE}"),
        ("\ude00", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_half_characters_are_joined_or_replaced(written: str, read: str) -> None:
    """Browsers write a lone surrogate as an escape, which is JSON: the message counts."""
    frame = parse_frame(text(f'{{"type":"message","id":"m1","text":"{written}"}}'))
    assert frame == Message(id="m1", text=read)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "start", "customer": "ada", "tenant": "t\n"},
        {"type": "start", "customer": "ada", "region": "local\n"},
        {"type": "resume", "conversation": "c1\n", "resume_token": "x", "last_seq": 0},
        {"type": "message", "id": "m1\n", "text": "hello"},
        {"type": "request_person", "id": "m1\n"},
    ],
    ids=str,
)
def test_identifier_with_a_line_break_is_refused(frame: dict[str, object]) -> None:
    """In Python `$` also matches before the last line break; a message under such an id could never be stored."""
    with pytest.raises(FrameError) as raised:
        parse_frame(text(json.dumps(frame)))
    assert raised.value.frame.code == "bad_frame"


@pytest.mark.parametrize("character", ["a", "\x00", "é", "\N{GRINNING FACE}"])
def test_longest_text_fits_a_frame_however_it_is_written(character: str) -> None:
    """As JSON escapes, a character beyond the basic plane takes twelve bytes."""
    frame = json.dumps({"type": "message", "id": "m" * 64, "text": character * MAX_TEXT_CHARACTERS}, ensure_ascii=True)
    assert len(frame) <= MAX_FRAME_BYTES
    assert parse_frame(text(frame)) == Message(id="m" * 64, text=character * MAX_TEXT_CHARACTERS)


def test_error_does_not_repeat_the_customers_text() -> None:
    """Errors are logged by clients."""
    with pytest.raises(FrameError) as raised:
        parse_frame(text('{"type":"canary","id":"m1"}'))
    assert "canary" not in str(raised.value)
