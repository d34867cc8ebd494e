"""Payloads that no decoder of Trunkline accepts, one for each way in which decoding fails."""

from __future__ import annotations

from typing import Final

UNDECODABLE: Final[dict[str, bytes]] = {
    "text": b"nonsense",
    "nothing": b"null",
    "list": b"[]",
    "type is a number": b'{"type":7}',
    "unknown type": b'{"type":"no.such.type"}',
    "missing fields": b'{"type":"turn.answer"}',
    "truncated": b'{"type":"turn.answer","text":"',
    "no UTF-8": b'{"type":"\xff\xfe"}',
    "binary": bytes(range(256)),
    "NUL": b"\x00",
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep unknown field": b'{"zzz":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "long number": b'{"type":' + b"9" * 100_000 + b"}",
    "infinite number": b'{"type":1e999}',
    "lone surrogate": b'{"type":"\\ud83d"}',
    "surrogate as UTF-8": b'{"type":"\xed\xa0\xbd"}',
}
