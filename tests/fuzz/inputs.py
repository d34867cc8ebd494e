"""Hostile inputs: random bytes, random JSON, and released messages with a few changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from tests.support.undecodable import UNDECODABLE

_GOLDEN: Final = tuple(
    file.read_bytes() for file in sorted((Path(__file__).parents[1] / "protocols" / "golden").glob("*.json"))
)
_TOKENS: Final = (
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-", b"1e999", b"NaN", b"\\ud83d", b"\\u0000"),
    *(b"\xff", b"\xed\xa0\xbd", b"\x00", b"9" * 5_000, b"[" * 2_000, b'{"a":' * 2_000),
)

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value."""


@st.composite
def _cut(draw: st.DrawFn) -> bytes:
    """Return a released message with a slice that is replaced by a token or by random bytes."""
    payload = draw(st.sampled_from(_GOLDEN))
    start = draw(st.integers(0, len(payload)))
    end = draw(st.integers(start, min(len(payload), start + 40)))
    return payload[:start] + draw(st.sampled_from(_TOKENS) | st.binary(max_size=8)) + payload[end:]


@st.composite
def _with_another_value(draw: st.DrawFn) -> bytes:
    """Return a released message, one value of which is another one."""
    message = msgspec.json.decode(draw(st.sampled_from(_GOLDEN)))
    place: Any = message
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(list(keys)))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw(values)
        return msgspec.json.encode(message)


payloads = (
    _cut()
    | _with_another_value()
    | values.map(msgspec.json.encode)
    | st.binary(max_size=200)
    | st.sampled_from(list(UNDECODABLE.values()))
)
"""Bytes for a decoder of JSON."""

texts = payloads.map(lambda payload: payload.decode("utf-8", "surrogateescape")) | st.text(max_size=200)
"""The same as text, lone surrogates included."""

toml = st.sampled_from(('name = "{}"', "[agent]\nname = {}", "list = [{}]", "{} = 1", "when = {}", "[[{}]]\n")).flatmap(
    lambda line: texts.map(lambda text: line.replace("{}", text))
) | st.text(max_size=200)
"""Documents that resemble TOML."""
