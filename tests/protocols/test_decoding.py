"""Decoding has one error: whatever the input, `DecodeError`, whose text does not quote the input."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import pytest
from trunkline_protocols import codec
from trunkline_protocols.decoding import read_names
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.wire import Wire

from tests.support.undecodable import UNDECODABLE

DECODERS = {name: value for name, value in vars(codec).items() if isinstance(value, codec.Decoder)}


class _Choice(Wire, frozen=True, tag="choice", forbid_unknown_fields=True):
    level: Literal["low", "high"] = "low"
    number: int = 0
    free: Any = None
    members: frozenset[Any] = frozenset()


@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)
@pytest.mark.parametrize("name", DECODERS)
def test_undecodable_payload_raises_the_one_error(name: str, payload: bytes) -> None:
    """Every decoder of the codec, for every way in which decoding fails."""
    with pytest.raises(codec.DecodeError):
        DECODERS[name].decode(payload)


@pytest.mark.parametrize(
    "payload",
    [b'{"level":"canary"}', b'{"type":"canary"}', b'{"canary":1}', b'{"level":7}', b'{"free":"canary\xff"}', b"canary"],
)
def test_error_names_the_field_without_the_input(payload: bytes) -> None:
    """An error text goes to logs and dead letters."""
    with pytest.raises(codec.DecodeError) as raised:
        codec.decode(payload, _Choice)
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_error_has_the_path_of_the_field() -> None:
    """For a value of a closed set too."""
    with pytest.raises(codec.ValidationError, match=r"Invalid enum value - at `\$\.level`"):
        codec.decode(b'{"level":"canary"}', _Choice)


@pytest.mark.parametrize(
    "payload", [b'{"members":[[1]]}', b'{"free":' + b"9" * 5_000 + b"}", b'{"free":' + b"[" * 90_000 + b"]" * 90_000]
)
def test_well_formed_input_that_cannot_be_held_is_a_validation_error(payload: bytes) -> None:
    """Unhashable members of a set, too many digits, nesting."""
    with pytest.raises(codec.ValidationError):
        codec.decode(payload, _Choice)


@pytest.mark.parametrize("text", ["a = ", "a = 9" + "9" * 5_000, "a = " + "[" * 5_000, 'a = "\\ud83d"', "level = 7"])
def test_invalid_toml_is_the_same_error(text: str) -> None:
    """Syntax, digits, nesting, surrogates, shape."""
    with pytest.raises(codec.DecodeError):
        codec.decode_toml(text, _Choice)


def test_binary_and_text_and_conversion() -> None:
    """MessagePack, UTF-8, and values that are decoded already."""
    binary = codec.Decoder[_Choice](_Choice, binary=True)
    assert binary.decode(msgspec.msgpack.encode(_Choice(number=7))) == _Choice(number=7)
    for payload in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"\xd9\x02\xff\xfe"):
        with pytest.raises(codec.DecodeError):
            binary.decode(payload)
    with pytest.raises(codec.DecodeError):
        codec.decode_text(b"\xff")
    with pytest.raises(codec.ValidationError):
        codec.convert({"number": "canary"}, _Choice)


def test_lone_surrogates_are_encoded_as_replacement_characters() -> None:
    """Tools and front matter may return them; the message must still be sent."""
    feedback = FeedbackGiven(
        conversation=ConversationId("c\ud83d"), previous=0, rating=5, received_at=1.0, text="\ud83d\ude00 \ude00"
    )
    encoded = codec.encode(feedback)
    decoded = codec.inbox.decode(encoded)
    assert isinstance(decoded, FeedbackGiven)
    assert decoded.conversation == "c\N{REPLACEMENT CHARACTER}"
    assert decoded.text == "\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"
    assert next(iter(json.loads(encoded))) == "type"


def test_names_of_an_object_are_read_with_repeated_ones() -> None:
    """Escapes are resolved, inner objects left out; another value, or text that is not JSON, is an error."""
    assert read_names('{"a":{"b":1,"b":2},"\\u0061":[{"c":1}],"d":1}') == ["a", "a", "d"]
    assert read_names(" {}") == []
    for text in ("", "{", "[]", '"a"', '{"a":NaN}', '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"):
        with pytest.raises(codec.DecodeError):
            read_names(text)


def test_fields_of_malformed_json_are_read_if_it_is_json() -> None:
    """The client's id is returned with the error; text that is not JSON is an error."""
    assert codec.read_malformed('{"id":"m1","text":"\\ud83d"}') == {"id": "m1", "text": "\ud83d"}
    assert codec.read_malformed("[" * 100_000 + "]" * 100_000) == {}
    assert codec.read_malformed("9" * 10_000) == {}
    for text in ("", "{", "NaN", '{"a":1}}', "'a'"):
        with pytest.raises(codec.DecodeError):
            codec.read_malformed(text)
