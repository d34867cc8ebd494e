"""Half characters: halves that meet are one character, wherever a text is cut; no other half remains."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols import codec
from trunkline_protocols.half_characters import HalfCharacterJoiner, join_halves, join_halves_in

GRIN = "\N{GRINNING FACE}"
HIGH, LOW = "\ud83d", "\ude00"
REPLACED = "\N{REPLACEMENT CHARACTER}"

_texts = st.text(st.sampled_from(["a", "é", GRIN, HIGH, LOW, "\x00", REPLACED]), max_size=12)


def _joined(pieces: list[str]) -> list[str]:
    joiner = HalfCharacterJoiner()
    return [*(joiner.add(piece) for piece in pieces), joiner.end()]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("", ""),
        ("plain", "plain"),
        (f"é {GRIN}", f"é {GRIN}"),
        (HIGH + LOW, GRIN),
        (HIGH, REPLACED),
        (LOW, REPLACED),
        (LOW + HIGH, REPLACED * 2),
        (HIGH + HIGH + LOW, REPLACED + GRIN),
        (f"{HIGH} {LOW}", f"{REPLACED} {REPLACED}"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_lone_halves_are_replaced_and_adjacent_ones_joined(text: str, joined: str) -> None:
    """A character that was whole already, and NUL, are left alone."""
    assert join_halves(text) == joined
    assert join_halves_in({text: [text, 1, None]}) == {joined: [joined, 1, None]}


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        ([f"Hi {HIGH}", f"{LOW}!"], ["Hi ", f"{GRIN}!", ""]),
        ([HIGH, "", LOW], ["", "", GRIN, ""]),
        ([HIGH, "x"], ["", f"{REPLACED}x", ""]),
        ([HIGH], ["", REPLACED]),
        ([HIGH, HIGH, LOW], ["", REPLACED, GRIN, ""]),
        ([LOW, "é"], [REPLACED, "é", ""]),
    ],
)
def test_high_half_waits_for_the_next_piece(pieces: list[str], joined: list[str]) -> None:
    """Nothing else is held back."""
    assert _joined(pieces) == joined


@given(_texts, st.lists(st.integers(0, 12), max_size=6))
def test_cuts_do_not_change_a_text(text: str, cuts: list[int]) -> None:
    """The joined pieces are the joined text, and each of them can be encoded."""
    places = [0, *sorted(cuts), len(text)]
    pieces = _joined([text[start:end] for start, end in itertools.pairwise(places)])
    assert "".join(pieces) == join_halves(text)
    for piece in pieces:
        piece.encode()


def test_payload_with_halves_is_decoded_with_them() -> None:
    """Escapes of halves and bytes that are not UTF-8 are no reason to refuse a message."""
    decoder = codec.Decoder[dict[str, Any]](dict[str, Any])
    for payload in (b'{"text":"Hi \\ud83d"}', '{"text":"Hi \\ud83d"}'):
        with pytest.raises(codec.DecodeError):
            decoder.decode(payload)
        assert decoder.decode_with_halves(payload) == {"text": f"Hi {HIGH}"}
    assert decoder.decode_with_halves(b'{"text":"Hi \xff"}') == {"text": f"Hi {REPLACED}"}
    assert decoder.decode_joined(b'{"\\ud83d":["\\ud83d\\ude00 \\ude00"]}') == {REPLACED: [f"{GRIN} {REPLACED}"]}
    assert decoder.decode_with_halves(json.dumps({"text": GRIN})) == {"text": GRIN}


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'{"a":NaN}', b"[1]", b'["\\ud83d"]', b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}"]
)
def test_other_faults_are_errors(payload: bytes) -> None:
    """Syntax, shape and nesting."""
    with pytest.raises(codec.DecodeError):
        codec.Decoder[dict[str, Any]](dict[str, Any]).decode_with_halves(payload)
    with pytest.raises(codec.DecodeError):
        codec.Decoder[dict[str, Any]](dict[str, Any]).decode_joined(payload)


def test_halves_in_deep_json_are_an_error() -> None:
    """At every depth up to the one that the decoder itself refuses."""
    for depth in range(100, 2_000, 100):
        with contextlib.suppress(codec.DecodeError):
            codec.Decoder[Any](Any).decode_joined("[" * depth + '"\\ud83d"' + "]" * depth)
