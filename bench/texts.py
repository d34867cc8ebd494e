"""Cost of encrypting texts: CPU of what a warm turn adds in the ingress and in the conversation process.

    python -m bench.texts

A turn encrypts the customer's message (ingress), decrypts it, and encrypts the commit (conversation). Beside it stand a
commit with everything that a commit may hold, and a snapshot of a long conversation, one in 16 commits. A text of 200
characters is encrypted unless given otherwise. Nothing is sent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, Final

from trunkline_chassis.customer_keys import DataKey
from trunkline_conversation.core.state import MAX_TRANSCRIPT_UTTERANCES
from trunkline_protocols import codec
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.citations import Citation
from trunkline_protocols.context import Utterance
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.ids import TurnId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, Consulted, Event, FactsUsed, HandedOff, Started, ToolUsed, TurnAnswered
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.texts import StoredTexts, decrypt_texts, encrypt_texts

from bench.conversations import new_conversations, next_message

_ROUNDS: Final = 9
_TURNS: Final = 1_000
_TEXT: Final = "I was charged twice for my order, can I get a refund? " * 4
_QUOTE: Final = Citation(document="refunds", title="Refunds", quote=_TEXT, rev=3, statement=_TEXT[:80])


def _answered(message: TurnReceived, *, citations: int) -> TurnAnswered:
    return TurnAnswered(
        message_id=message.message_id,
        accepted_seq=message.seq,
        text=message.text,
        received_at=message.received_at,
        answer=_TEXT * 2,
        specialty="billing",
        agent="billing-charges",
        citations=[_QUOTE] * citations,
        facts=FactsUsed(ages_s={"plan": 3.0}, sha256="0" * 64),
    )


def _commit(message: TurnReceived, *, is_full: bool) -> Commit:
    opening = Started(customer=message.customer, tenant=message.tenant, channel="web", locale="en")
    extra: list[Event] = [
        ToolUsed(specialty="billing", use=ToolUse(tool="refund", outcome="done", arguments_sha256="0" * 64)),
        Consulted(specialty="account", agent="a", question=_TEXT, advice=_TEXT, citations=[_QUOTE] * 2),
        HandedOff(from_="triage", to="billing", agent="b", reason=_TEXT, summary=_TEXT),
    ]
    return Commit(
        conversation=message.conversation,
        region=message.region,
        tenant=message.tenant,
        customer=message.customer,
        kind="turn",
        turn=TurnId("t-1"),
        epoch=0,
        owner="billing",
        agent="billing-charges",
        inbox_seq=1,
        previous=0,
        frames_before=0,
        at=1.0,
        events=[opening, *(extra if is_full else []), _answered(message, citations=5 if is_full else 2)],
    )


def _snapshot(message: TurnReceived) -> Snapshot:
    transcript = [Utterance(role="customer", text=_TEXT), Utterance(role="agent", text=_TEXT)]
    return Snapshot(
        conversation=message.conversation,
        sequence=1,
        inbox_seq=1,
        epoch=0,
        hops=0,
        owner="billing",
        agent="a",
        customer="ada",
        tenant="default",
        channel="web",
        locale="en",
        closed=False,
        turns=40,
        frames=80,
        ids=b"x" * 200,
        summary=_TEXT * 5,
        transcript=transcript * (MAX_TRANSCRIPT_UTTERANCES // 2),
    )


def _cpu_us(work: Callable[[], object]) -> float:
    """Return the CPU time of a call in microseconds, of the best of several rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(_TURNS):
            work()
        best = min(best, time.process_time() - started)
    return round(best / _TURNS * 1e6, 1)


def _fields(message: StoredTexts) -> int:
    """Return the number of encrypted texts."""
    return codec.encode(message).count(b'"enc1:')


def _measure() -> dict[str, Any]:
    key = DataKey(hash_of("default", "bench"), os.urandom(32))
    (conversation,) = new_conversations(1)
    message = next_message(conversation, _TEXT)
    usual, full, snapshot = _commit(message, is_full=False), _commit(message, is_full=True), _snapshot(message)
    stored = encrypt_texts(message, key)
    measured: dict[str, StoredTexts] = {"message": message, "commit": usual, "full_commit": full, "snapshot": snapshot}
    report: dict[str, Any] = {}
    for name, plain in measured.items():
        encrypted = encrypt_texts(plain, key)
        report[name] = {
            "fields": _fields(encrypted),
            "encrypt_us": _cpu_us(lambda plain=plain: encrypt_texts(plain, key)),  # type: ignore[misc]
            "decrypt_us": _cpu_us(lambda encrypted=encrypted: decrypt_texts(encrypted, key)),  # type: ignore[misc]
            "encode_us": _cpu_us(lambda plain=plain: codec.encode(plain)),  # type: ignore[misc]
            "bytes": len(codec.encode(plain)),
            "encrypted_bytes": len(codec.encode(encrypted)),
        }

    def turn() -> None:
        encrypt_texts(message, key)
        decrypt_texts(stored, key)
        encrypt_texts(usual, key)

    return report | {"turn_us": _cpu_us(turn)}


if __name__ == "__main__":
    print(json.dumps(_measure(), indent=2))
