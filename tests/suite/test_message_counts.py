"""Messages of a turn, counted on the NATS server: a bound for all of them, and a list of the kinds that there are.

Counts do not depend on the speed of the machine, but for deltas: a model of known pace writes the answers, 32 at once,
so that each gateway batches them for the longest time. Traffic that depends on time alone is listed as such and not
counted: presence, pulls of consumers, the archive's acknowledgements and heads, heartbeats of work in progress.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.support.customer import Customer
from tests.support.message_trace import TracedMessage, message_trace
from tests.support.suite import Suite, wait_until

pytestmark = pytest.mark.processes

MAX_IN: Final = 16.0
MAX_OUT: Final = 22.0
"""Messages of a turn into the server and out of it, beside those that depend on time alone."""
CONVERSATIONS: Final = 32
"""At least eight on each of two gateways: from there on a delta is sent every 150 ms."""
ROUNDS: Final = 2
TURNS: Final = ROUNDS * CONVERSATIONS
OPENING: Final = "opening-question"
"""Id of each customer's first message, which is not counted: audit may still receive it, and its commit."""
FIRST: Final = "I was charged twice for my order, can I get a refund?"
LATER: Final = "How long does it take until the money is back on my card?"
TOLERANCE: Final = 1.1
"""A turn whose agents process stalls for 0.8 s, as on a machine that is full, is repeated."""

MODEL: Final = """
[[provider]]
name = "simulated"
kind = "simulated"
max_concurrency = 2000
# Long enough for all to be in progress at once, also on a slow machine.
first_token_ms_median = 1500
first_token_sigma = 0.0
tokens_per_s = 120
tokens_median = 40
tokens_sigma = 0.0
"""

ONCE_PER_TURN: Final = {
    "in: message of the customer, from ingress",
    "out: acknowledgement of an append, to ingress",
    "out: message of the customer, to conversation",
    "out: message of the customer, to audit",
    "in: work, from conversation",
    "out: acknowledgement of an append, to conversation",
    "out: work, to agents",
    "in: acknowledgement of work, from agents",
    "in: request to rag, from agents",
    "out: request to rag, to rag",
    "in: reply to agents, from rag",
    "out: reply to agents, to agents",
    "in: request to llm_gateway, from agents",
    "out: request to llm_gateway, to llm_gateway",
    "in: reply to agents, from llm_gateway",
    "in: result, from agents",
    "out: result, to conversation",
    "in: commit, from conversation",
    "out: commit, to audit",
    "in: commit to the socket, from conversation",
    "out: commit to the socket, to ingress",
    "in: acknowledgement of the customer's message, from conversation",
}
"""Kinds of messages that a later turn needs; some are there twice, see `EXPECTED`."""
EXPECTED: Final = dict.fromkeys(ONCE_PER_TURN, 1) | {
    # The work and the commit.
    "out: acknowledgement of an append, to conversation": 2,
    # Of rag and of the gateway.
    "out: reply to agents, to agents": 2,
}
DELTAS: Final = {"in: delta, from llm_gateway", "out: delta, to ingress"}

_BY_SUBJECT: Final = {
    r"inbox\.": "message of the customer",
    r"work\.": "work",
    r"\$JS\.ACK\.WORK\.": "acknowledgement of work",
    r"\$JS\.ACK\.INBOX\.slot": "acknowledgement of the customer's message",
    r"rag\.": "request to rag",
    r"llm\.": "request to llm_gateway",
    r"result\.": "result",
    r"conv\.": "commit",
}
_BY_TIME: Final = re.compile(
    r"\$KV\.PRESENCE\.|\$SYS\.|head\.|\$JS\.ACK\.\w+\.audit\.|\$JS\.API\.CONSUMER\.|\$JS\.API\.STREAM\.INFO\."
    # Views of buckets, notices and erasures are read again every 15 s or more.
    r"|\$JS\.API\.(STREAM\.MSG|DIRECT)\.GET\.(KV_(?!CUSTOMER|SNAPSHOTS)|NOTICES|ERASURES)"
)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """A suite of its own, since the trace shows texts: with a model of known pace, and no limit for these customers."""
    config = tmp_path / "model.toml"
    config.write_text(MODEL)
    running = Suite(tmp_path, {"TRUNKLINE_LLM_CONFIG": str(config), "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.1"})
    try:
        yield running
    finally:
        assert running.stop() == 0


async def test_later_turn_takes_at_most_sixteen_messages_in_and_twenty_two_out(suite: Suite) -> None:
    """Many conversations at once; none of their messages is of a kind that a turn does not need."""
    async with AsyncExitStack() as stack:
        customers = [
            await stack.enter_async_context(Customer(suite.url, f"customer-{number}"))
            for number in range(CONVERSATIONS)
        ]
        await asyncio.gather(*(customer.start() for customer in customers))
        await asyncio.gather(*(customer.ask(OPENING, FIRST) for customer in customers))
        with message_trace(suite) as read:
            for turn in range(ROUNDS):
                await asyncio.gather(*(customer.ask(f"later-{turn}", LATER) for customer in customers))
            kinds = await asyncio.to_thread(kinds_once_recorded, read)
    print("\n".join(f"{count / TURNS:6.2f} {kind}" for kind, count in sorted(kinds.items())))
    assert set(kinds) == ONCE_PER_TURN | DELTAS
    wrong = {kind for kind, count in EXPECTED.items() if not TURNS * count <= kinds[kind] <= TURNS * count * TOLERANCE}
    assert not wrong
    assert sum(count for kind, count in kinds.items() if kind.startswith("in: ")) <= TURNS * MAX_IN
    assert sum(count for kind, count in kinds.items() if kind.startswith("out: ")) <= TURNS * MAX_OUT


def kinds_once_recorded(read: Callable[[], list[TracedMessage]]) -> Counter[str]:
    """Return the number of messages of each kind, once the last commit has reached audit, which collects in pauses."""
    kinds: Counter[str] = Counter()

    def is_recorded() -> bool:
        nonlocal kinds
        kinds = Counter(kinds_of(read()))
        return kinds["out: commit, to audit"] >= TURNS

    wait_until(is_recorded, "audit has received all commits")
    return kinds


def kinds_of(messages: Iterable[TracedMessage]) -> Iterator[str]:
    """Yield the kind of each message that belongs to turns."""
    requests: dict[str, str] = {}
    """Subjects of requests by those of their replies."""
    for message in messages:
        if message.is_in and message.reply:
            requests[message.reply] = message.subject
        is_reply = message.subject.startswith("_INBOX.")
        if is_reply and message.subject not in requests:
            continue  # to a request before the trace, or by a consumer to a pull of that time
        subject = requests[message.subject] if is_reply else message.subject
        if _is_by_time(message, subject) or OPENING in message.payload:
            continue
        way, preposition = ("in", "from") if message.is_in else ("out", "to")
        yield f"{way}: {_kind(message, subject, is_reply=is_reply)}, {preposition} {message.service}"


def _kind(message: TracedMessage, subject: str, *, is_reply: bool) -> str:
    if subject.startswith("out."):
        return "delta" if r"{\"type\":\"delta\"" in message.payload else "commit to the socket"
    if is_reply and message.payload.startswith(r"{\"stream\":"):
        return "acknowledgement of an append"
    if is_reply:
        return f"reply to {message.subject.split('.')[1]}"
    return next((kind for start, kind in _BY_SUBJECT.items() if re.match(start, subject)), subject)


def _is_by_time(message: TracedMessage, subject: str) -> bool:
    """Return whether a message depends on time alone; a heartbeat is that of all work in progress of a process."""
    is_heartbeat = subject.endswith(".heartbeats") or r"{\"type\":\"agent.heartbeat\"" in message.payload
    is_lag = message.service == "audit" and subject.startswith("$JS.API.")
    return is_heartbeat or is_lag or _BY_TIME.match(subject) is not None
