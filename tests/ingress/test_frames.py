"""Parsing of client frames: a bad frame leaves the socket open, text that is not JSON closes it."""

from __future__ import annotations

import pytest
from aiohttp import WSCloseCode, WSMessage, WSMsgType
from trunkline_ingress.handlers.frame_errors import CloseSocketError, FrameError
from trunkline_ingress.handlers.frame_parser import parse_frame


def text(frame: str) -> WSMessage:
    return WSMessage(WSMsgType.TEXT, frame, None)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"message","id":"m1","text":"half an emoji \\ud83d"}',
        '{"type":"message","id":"m1","text":7}',
        '{"type":"message","id":"m1","text":"","more":' + "9" * 5_000 + "}",
        '{"id":"m1"}',
        '{"type":"dance","id":"m1","text":"\\ude00"}',
    ],
)
def test_json_that_is_no_frame_is_an_error_with_its_id(frame: str) -> None:
    """Browsers write a lone surrogate as an escape, which is JSON."""
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


def test_error_does_not_repeat_the_customers_text() -> None:
    """Errors are logged by clients."""
    with pytest.raises(FrameError) as raised:
        parse_frame(text('{"type":"canary","id":"m1"}'))
    assert "canary" not in str(raised.value)
