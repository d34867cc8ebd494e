"""Conversations end to end, on a complete suite."""

from __future__ import annotations

import asyncio
import json
import subprocess

import asyncpg
import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.texts import Texts
from trunkline_protocols import codec
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import TurnAnswered

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline
from tests.support.texts import readable_texts

pytestmark = pytest.mark.processes

REFUND = "I was charged twice for my order, can I get a refund?"
TECHNICAL = "My thermostat will not connect to the Wi-Fi anymore"


def is_verbatim(suite: Suite, citation: dict[str, str]) -> bool:
    """Return whether the cited article contains the quote verbatim."""
    return citation["quote"] in suite.get(f"/v1/articles/{citation['document']}")["text"]


async def test_refund_question_is_answered_by_billing_with_verbatim_citations(suite: Suite) -> None:
    """Routed to the right specialty and grounded in articles."""
    async with Customer(suite.url) as customer:
        await customer.start()
        message = await customer.ask("m1", REFUND)
    assert message["specialty"] == "billing"
    assert message["citations"]
    assert all(is_verbatim(suite, citation) for citation in message["citations"])
    assert "".join(frame["text"] for frame in customer.frames_of("delta")) == message["text"]


async def test_technical_question_is_handed_off(suite: Suite) -> None:
    """The new owner answers the same turn and keeps the conversation."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        message = await customer.ask("m2", TECHNICAL)
        handoff = customer.frames_of("handoff")[0]
        assert (handoff["from"], handoff["to"]) == ("billing", "technical")
        assert handoff["turn"] == message["turn"]
        assert message["specialty"] == "technical"
        stays = await customer.ask("m3", "And then?")
    assert stays["specialty"] == "technical"


async def test_greeting_assigns_no_owner(suite: Suite) -> None:
    """Triage answers it; the first question decides the owner."""
    async with Customer(suite.url) as customer:
        await customer.start()
        greeting = await customer.ask("m1", "Hello")
        answer = await customer.ask("m2", REFUND)
    assert greeting["specialty"] == "triage"
    assert answer["specialty"] == "billing"
    assert not customer.frames_of("handoff")


async def test_repeated_message_gets_its_first_acknowledgement(suite: Suite) -> None:
    """On the same connection, and on new ones; it is answered once."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        accepted = customer.frames_of("accepted")[0]
        await customer.say("m1", REFUND)
        assert await customer.until("accepted") == accepted
        await customer.resume()
        await customer.say("m1", REFUND)
        assert await customer.until("accepted") == accepted
        await customer.ask("m2", "Thank you very much for that")
        await customer.ask("m3", REFUND)
        # No frame was missed, so the first answers are not read again.
        await customer.resume()
        await customer.say("m1", REFUND)
        assert await customer.until("accepted") == accepted
        await customer.ask("m4", "Thank you very much for that")
    assert [frame["in_reply_to"] for frame in customer.frames_of("message")] == ["m1", "m2", "m3", "m4"]


async def test_resume_replays_exactly_the_missed_frames(suite: Suite) -> None:
    """The socket is cut in mid-answer; no frame is lost or repeated."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.say("m1", REFUND)
        await customer.until("accepted")
        resumed = await customer.resume()
        assert resumed["recovered"] is True
        await customer.answer_to("m1")
        customer.last_seq = 1
        await customer.resume()
        replayed = [await customer.receive() for _ in range(2)]
        assert [frame["type"] for frame in replayed] == ["accepted", "message"]
        await customer.ask("m2", TECHNICAL)


async def test_messages_sent_at_once_are_answered_in_order(suite: Suite) -> None:
    """One after another, even if they need different specialties."""
    async with Customer(suite.url) as customer:
        await customer.start()
        for number, text in enumerate((REFUND, TECHNICAL, "ok", REFUND), start=1):
            await customer.say(f"m{number}", text)
        await customer.answer_to("m4")
    assert [frame["in_reply_to"] for frame in customer.frames_of("message")] == ["m1", "m2", "m3", "m4"]


async def test_ended_conversation_is_closed_and_refuses_messages(suite: Suite) -> None:
    """The end is a commit like any other."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        await customer.send({"type": "end"})
        await customer.until("closed")
        await customer.say("m2", "One more thing")
        error = await customer.receive()
    assert (error["type"], error["code"], error["id"]) == ("error", "bad_frame", "m2")


async def test_plain_turn_costs_two_replicated_appends(suite: Suite) -> None:
    """The first invariant, counted on the file streams: one append to the inbox and one to the log."""
    bus = await connect(suite.nats_url(), "counter")
    try:
        async with Customer(suite.url) as customer:
            await customer.start()
            await customer.ask("m1", REFUND)
            before = await last_sequences(bus)
            await customer.ask("m2", "How long does it take until the money is back on my card?")
            after = await last_sequences(bus)
        appended = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert appended == {"INBOX": 1, "CONVERSATIONS": 1}
    finally:
        await bus.close()


async def last_sequences(bus: Bus) -> dict[str, int]:
    """Return the last sequence of every file stream; in a cluster these are the replicated ones."""
    listing = await bus.api("STREAM.LIST")
    return {
        stream["config"]["name"]: stream["state"]["last_seq"]
        for stream in listing["streams"]
        if stream["config"]["storage"] == "file"
    }


async def test_postgres_holds_every_message_in_order(suite: Suite) -> None:
    """Messages and answers, in the view for auditors, as the log holds them: encrypted."""
    async with Customer(suite.url) as customer:
        await customer.start()
        first = await customer.ask("m1", REFUND)
        second = await customer.ask("m2", TECHNICAL)
    expected = [REFUND, first["text"], TECHNICAL, second["text"]]
    connection = await asyncpg.connect(suite.postgres_dsn())
    try:
        async with asyncio.timeout(20):
            while True:
                rows = await connection.fetch(
                    "SELECT text FROM conversation_messages WHERE conversation = $1", customer.conversation
                )
                if len(rows) == len(expected):
                    break
                await asyncio.sleep(0.1)
        raw = await connection.fetch(
            "SELECT raw, type FROM messages WHERE conversation = $1 ORDER BY at", customer.conversation
        )
    finally:
        await connection.close()
    assert all(row["text"].startswith("enc1:") for row in rows)
    bus = await connect(suite.nats_url(), "test")
    try:
        texts = await readable_texts(bus, suite.key_file())
        in_clear: dict[str, str] = {}
        for row in raw:
            in_clear |= await _texts_of(texts, row["raw"], row["type"])
    finally:
        await bus.close()
    assert [in_clear[row["text"]] for row in rows] == expected


async def _texts_of(texts: Texts, payload: bytes, type_: str) -> dict[str, str]:
    """Return the texts of a message of a customer, or of an answer, by their form in the archive."""
    if type_ == "turn.received":
        message = codec.inbox.decode(payload)
        assert isinstance(message, TurnReceived)
        return {message.text: (await texts.decrypt(message)).text}
    if type_ != "commit":
        return {}
    commit = codec.commit.decode(payload)
    pairs = zip(commit.events, (await texts.decrypt(commit)).events, strict=True)
    return {
        stored.answer: readable.answer
        for stored, readable in pairs
        if isinstance(stored, TurnAnswered) and isinstance(readable, TurnAnswered)
    }


async def test_trace_lists_the_steps_of_a_turn_in_order(suite: Suite) -> None:
    """Each step has its type, time and duration."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        await customer.ask("m2", TECHNICAL)
    done = run_cli(suite, "trace", customer.conversation, "--json")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    types = [step["type"] for step in steps]
    assert types[0] == "turn.received"
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    first_turn = types[: types.index("commit") + 1]
    assert first_turn == [
        "turn.received",
        "started",
        "turn.routed",
        "turn.answer",
        "knowledge.search",
        "llm.complete",
        "turn.answered",
        "commit",
    ]
    assert "turn.hand_off" in types
    completion = next(step for step in steps if step["type"] == "llm.complete")
    assert completion["ms"] > 0
    assert "turn.hand_off" in run_cli(suite, "trace", customer.conversation).stdout


def test_status_lists_every_process_with_its_own_pid(suite: Suite) -> None:
    """Six services, NATS and PostgreSQL, each with all figures."""
    done = run_cli(suite, "status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["ready"] is True
    services = {process["service"] for process in status["processes"]}
    assert services >= {"ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "nats", "postgres"}
    pids = [process["pid"] for process in status["processes"]]
    assert len(set(pids)) == len(pids)
    for key in ("name", "instance", "state", "restarts", "version", "queue_depth", "p50_ms", "p95_ms"):
        assert all(key in process for process in status["processes"])
    assert "agents-1" in run_cli(suite, "status").stdout


def test_ask_prints_the_answer_and_its_sources(suite: Suite) -> None:
    """As text, and as JSON frames."""
    plain = run_cli(suite, "ask", REFUND)
    assert plain.returncode == 0, plain.stderr
    assert "billing" in plain.stdout
    done = run_cli(suite, "ask", REFUND, "--json")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert frames[0]["type"] == "started"
    assert frames[-1]["type"] == "message"
    assert frames[-1]["specialty"] == "billing"


def test_imported_article_is_found_and_cited(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Markdown and JSONL; an invalid line is reported and the others are imported."""
    folder = tmp_path_factory.mktemp("articles")
    (folder / "moon.md").write_text(
        "---\nid: moon-delivery\ntitle: Delivery to the moon\ntopics: [delivery]\nupdated: 2026-01-01\n---\n"
        "Parcels to the moon take exactly seventeen days.\n"
    )
    (folder / "more.jsonl").write_text(
        '{"id": "mars-delivery", "title": "Delivery to Mars", "content": "Parcels to Mars take two hundred days."}\n'
        "not json\n"
    )
    done = run_cli(suite, "kb", "import", str(folder))
    assert done.returncode == 1
    assert "2 documents" in done.stdout
    assert "more.jsonl:2" in done.stderr
    hits = json.loads(run_cli(suite, "kb", "search", "parcel to the moon", "--json").stdout)["hits"]
    assert hits[0]["document"] == "moon-delivery"
    assert set(hits[0]) >= {"document", "title", "text", "score"}


async def test_services_are_discoverable_with_the_credentials_of_the_operator(suite: Suite) -> None:
    """By the NATS micro protocol: `nats micro ls` lists them."""
    url = (suite.data_dir / "secrets" / "nats-operator-url").read_text()
    bus = await connect(url, "discovery", principal="operator")
    try:
        names: set[str] = set()
        inbox = bus.client.new_inbox()
        subscription = await bus.client.subscribe(inbox)
        await bus.client.publish("$SRV.PING", b"", reply=inbox)
        async with asyncio.timeout(10):
            while len(names) < 7:
                names.add(json.loads((await subscription.next_msg(timeout=5)).data)["name"])
    finally:
        await bus.close()
    assert names >= {"trunkline-ingress", "trunkline-conversation", "trunkline-agents", "trunkline-rag"}
    assert names >= {"trunkline-llm_gateway", "trunkline-audit", "trunkline-supervisor"}


def test_command_without_a_suite_prints_one_line() -> None:
    """No traceback, exit status 1, and the command that starts a suite."""
    done = subprocess.run(
        [trunkline(), "ask", "hello", "--url", "http://127.0.0.1:1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "trunkline up" in done.stderr
