"""Attempts to move data of one region into the suite of another one: each is made, and checked to have failed."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.errors import BusConfigError
from trunkline_chassis.residency import Borders
from trunkline_chassis.service_topology import ServiceTopology
from trunkline_chassis.settings import ProcessSettings
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ArchivedRecords, ReadArchived
from trunkline_protocols.completion import Complete
from trunkline_protocols.context import Context
from trunkline_protocols.customers import ReadCustomer
from trunkline_protocols.escalation import Escalation, EscalationWaiting
from trunkline_protocols.fleet import Tool
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.knowledge import AnalyseMessage, GetArticle, SearchKnowledge
from trunkline_protocols.refusal import Refused
from trunkline_protocols.rules.residency import Border
from trunkline_protocols.tool_steps import ToolCall

from tests.agents.builders import make_request
from tests.agents.test_consultations import make_consult
from tests.agents.tool_agent import Environment, ToolAgent, calling
from tests.support.suite import Suite

SECRET = "resume-secret-of-both-regions-0123456789"
WORDS = "ultramarine"
"""In every text of the other region: no reply, no log and no database of the target may have it."""


@dataclass
class Target:
    """The suite of one region, under attack with data of another one."""

    suite: Suite
    region: str
    other: str
    bus: Bus
    clients: dict[str, Bus]
    """Connections by the principal that a process replies to."""
    made: Counter[Border] = field(default_factory=Counter)
    conversations: set[ConversationId] = field(default_factory=set)
    """Conversations that records must name."""
    results: list[bytes] = field(default_factory=list)
    """Whatever an attack got back from agents."""

    def conversation(self, border: Border) -> ConversationId:
        """Return a conversation of the other region for one attempt."""
        conversation = ConversationId(f"c{secrets.token_hex(8)}")
        self.conversations.add(conversation)
        self.made[border] += 1
        return conversation

    def context(self) -> Context:
        """Return what an agent of the other region would get."""
        return Context(tenant="default", region=self.other, locale="en", transcript=[], customer="zoe", note=WORDS)

    async def request(self, principal: str, subject: str, message: Any, decoder: codec.Decoder[Any]) -> Any:
        """Send a request to a process in the place of a principal, and return the reply."""
        bus = self.clients[principal]
        return decoder.decode(await bus.request(subject, codec.encode(message), timeout_s=60.0))


@asynccontextmanager
async def attacking(suite: Suite, region: str, other: str) -> AsyncIterator[Target]:
    """Connect to the account of a suite, as a broken or hostile process could."""
    url = suite.nats_url()
    bus = await connect(url, "attack")
    clients = {name: await connect(url, "attack", principal=name) for name in ("ingress", "conversation", "agents")}
    target = Target(suite, region, other, bus, clients)

    async def on_result(message: Msg) -> None:
        target.results.append(message.data)

    await bus.subscribe(subjects.result("attack"), on_result)
    await bus.subscribe(subjects.advice("attack"), on_result)
    try:
        yield target
    finally:
        for each in (bus, *clients.values()):
            await each.close()


async def open_sessions(target: Target, number: int) -> None:
    """Start conversations of the other region, and resume those that it has signed."""

    async def attempt(*, resumes: bool) -> None:
        conversation, token = resume_token(target, "session")
        frame: dict[str, Any] = {"type": "start", "customer": "zoe", "region": target.other}
        if resumes:
            frame = {"type": "resume", "conversation": conversation, "resume_token": token, "last_seq": 1}
        else:
            target.conversations.discard(conversation)  # the ingress draws the id of a new one
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{target.suite.url}/v1/chat") as socket:
            await socket.send_json(frame)
            error = await socket.receive_json(timeout=60)
        assert (error["type"], error["code"]) == ("error", "not_found" if resumes else "bad_frame"), error

    for first in range(0, number, 20):
        await asyncio.gather(*(attempt(resumes=index % 2 == 0) for index in range(first, min(number, first + 20))))


async def read_articles(target: Target, number: int) -> None:
    """Read cited articles with resume tokens of the other region."""
    async with aiohttp.ClientSession() as session:
        for _ in range(number):
            headers = {"Trunkline-Resume-Token": resume_token(target, "session")[1]}
            async with session.get(f"{target.suite.url}/v1/articles/refunds", headers=headers) as response:
                assert response.status == HTTPStatus.NOT_FOUND, await response.text()


def resume_token(target: Target, border: Border) -> tuple[ConversationId, str]:
    """Return a conversation of the other region and its token, signed with the secret of both."""
    conversation = target.conversation(border)
    identity = Identity(
        conversation=conversation, customer="zoe", tenant="default", region=target.other, channel="web", locale="en"
    )
    return conversation, sign(identity, SECRET.encode(), expires_at=time.time() + 600)


async def queue_work(target: Target, number: int) -> None:
    """Queue turns, handoffs and consultations of the other region for agents of this one."""
    for index in range(number):
        border: Border = ("work", "handoff", "consultation")[index % 3]
        ref = TurnRef(
            conversation=target.conversation(border), turn=TurnId(f"t{index}"), attempt=1, hop=int(border == "handoff")
        )
        requester, deadline_at = Instance("attack"), time.time() + 600
        message = (
            make_consult(
                ref=ref,
                specialty="billing",
                context=target.context(),
                question=WORDS,
                reply_to=requester,
                deadline_at=deadline_at,
            )
            if border == "consultation"
            else msgspec.structs.replace(
                make_request(WORDS, context=target.context(), reply_to=requester, deadline_at=deadline_at), ref=ref
            )
        )
        subject, payload = subjects.work("billing", "high"), codec.encode(message)
        await target.bus.append(subject, payload, message_id=secrets.token_hex(8))


async def search(target: Target, number: int) -> None:
    """Search, analyse and read articles for customers of the other region."""
    query = SearchKnowledge(query=f"refund {WORDS}", tenant="default", region=target.other)
    requests = (
        (subjects.search(target.region), query),
        (subjects.analyse(target.region), AnalyseMessage(text=WORDS, search=query)),
        (subjects.article(target.region), GetArticle(document="refunds", tenant="default", region=target.other)),
    )
    for index in range(number):
        target.made["retrieval"] += 1
        subject, message = requests[index % 3]
        reply = await target.request("ingress", subject, message, codec.knowledge_reply)
        assert isinstance(reply, Refused), reply


async def complete(target: Target, number: int) -> None:
    """Request completions for the other region, and ones of this region from a provider of the other one."""

    async def attempt(index: int) -> None:
        is_foreign = index % 2 == 0
        region, provider = (target.other, "") if is_foreign else (target.region, "abroad" if index % 4 == 1 else "")
        request = Complete(
            instructions="",
            text=f"{WORDS} {index}",
            region=region,
            provider=provider,
            deadline_at=time.time() + 20,
            route="away",
        )
        target.made["completion" if is_foreign else "provider"] += 1
        reply = await target.request("agents", subjects.complete(target.region), request, codec.completion_reply)
        # Without a provider of the region, the route fails over to a quotation, never to the one abroad.
        assert isinstance(reply, Refused) or reply.model == "extractive", reply

    for first in range(0, number, 10):
        await asyncio.gather(*(attempt(index) for index in range(first, min(number, first + 10))))


async def read_customers(target: Target, number: int) -> None:
    """Have facts about customers of the other region read."""
    request = ReadCustomer(tenant="default", region=target.other, customer="zoe")
    for _ in range(number):
        target.made["customer"] += 1
        subject = subjects.read_customer(target.region)
        assert isinstance(await target.request("conversation", subject, request, codec.customer_reply), Refused)


async def call_tools(target: Target, number: int, shop: str) -> None:
    """Call a tool that is for the other region, from a turn of this one."""
    borders = Borders(target.bus, region=target.region, service="agents", instance=Instance("agents-attack"))
    recording = asyncio.ensure_future(borders.run())
    tool = Tool(name="refund", description="d", url=shop, regions=[target.other])
    for _ in range(number):
        agent = ToolAgent(target.bus, [tool], f"t{secrets.token_hex(4)}", Environment(), borders)
        agent.context = msgspec.structs.replace(target.context(), region=target.region)
        target.made["tool"] += 1
        await agent.attempt(calling(ToolCall(id="1", name="refund", arguments="{}")))
        assert [outcome for _, outcome in agent.uses()] != ["ok"], agent.uses()
        await agent.close()
    await borders.drain(60.0)
    await cancel_and_wait([recording])


async def store_messages(target: Target, number: int) -> None:
    """Store messages of the other region in this account, by their subject or by their content alone."""
    for index in range(number):
        by_subject = index % 2 == 0
        conversation = target.conversation("record")
        received = TurnReceived(
            conversation=conversation,
            message_id="m1",
            text=WORDS,
            seq=2,
            previous=0,
            customer="zoe",
            tenant="default",
            region=target.other,
            channel="web",
            locale="en",
            ingress=Instance("attack"),
            received_at=time.time(),
        )
        if by_subject:
            target.conversations.discard(conversation)  # nothing but audit sees it, and its record names the stream
        else:
            target.made["conversation"] += 1
        subject = subjects.inbox(target.other if by_subject else target.region, conversation)
        await target.bus.append(subject, codec.encode(received), message_id=secrets.token_hex(8))


async def read_archives(target: Target, number: int) -> None:
    """Read archived conversations of the other region, which are in this database by mistake."""
    connection = await asyncpg.connect(target.suite.postgres_dsn())
    try:
        run = f"attack-{secrets.token_hex(4)}"
        await connection.execute(
            "INSERT INTO archive_runs (name, as_of, size, location, verified_at) VALUES ($1, now(), 0, '/', now())", run
        )
        archived = await connection.fetchval(
            "INSERT INTO archive_objects (run, number, name, sha256, bytes, records, first_leaf, last_leaf) "
            "VALUES ($1, 1, $1, '', 0, 0, 0, 0) RETURNING id",
            run,
        )
        for index in range(number):
            conversation = target.conversation("archive")
            raw = codec.encode(ReadArchived(conversation=conversation))
            await connection.execute(
                "INSERT INTO messages (stream, sequence, at, received_at, subject, region, conversation, raw, sha256, "
                "leaf, archived) VALUES ('INBOX', $1, now(), now(), $2, $3, $4, $5, $6, $1, $7)",
                10_000_000 + index,
                subjects.inbox(target.other, conversation),
                target.other,
                conversation,
                raw,
                hashlib.sha256(raw).digest(),
                archived,
            )
            subject, read = subjects.read_archive(target.region), ReadArchived(conversation=conversation)
            reply = await target.request("ingress", subject, read, codec.archive_reply)
            assert isinstance(reply, ArchivedRecords)
            assert not reply.records
        await connection.execute("DELETE FROM messages WHERE archived = $1", archived)
    finally:
        await connection.close()


async def use_console(target: Target, number: int, key: str) -> None:
    """Use the console with a key of the other region, and read its conversations at the desk of this one."""
    cases = iter(await escalate(target, number // 2))
    async with aiohttp.ClientSession() as session:
        for index in range(number):
            headers, path = {"Authorization": f"Bearer {key}"}, "/v1/ops/desk"
            expected = HTTPStatus.FORBIDDEN
            if index % 2:
                headers, path = target.suite.operator_headers, f"/v1/ops/desk/{next(cases)}"
                expected = HTTPStatus.NOT_FOUND
            else:
                target.made["console"] += 1
            async with session.get(target.suite.url + path, headers=headers) as response:
                text = await response.text()
                assert response.status == expected, text
                assert WORDS not in text
        async with session.get(f"{target.suite.url}/v1/ops/desk", headers=target.suite.operator_headers) as response:
            assert WORDS not in await response.text()


async def escalate(target: Target, number: int) -> list[ConversationId]:
    """Put cases of the other region into the desk's queue, and wait until the only ingress knows of them."""
    found = [target.conversation("console") for _ in range(number)]
    for conversation in found:
        await put_case(target, conversation, target.other)
    last = ConversationId(f"c{secrets.token_hex(8)}")
    await put_case(target, last, target.region)
    async with aiohttp.ClientSession(headers=target.suite.operator_headers) as session, asyncio.timeout(60):
        text = ""
        while last not in text:
            async with session.get(f"{target.suite.url}/v1/ops/desk") as response:
                text = await response.text()
    assert not any(conversation in text for conversation in found)
    return found


async def put_case(target: Target, conversation: ConversationId, region: str) -> None:
    """Put a case into the bucket of the queue."""
    now = time.time()
    words = WORDS if region == target.other else "case"
    waiting = EscalationWaiting(
        conversation=conversation,
        region=region,
        tenant="default",
        customer="zoe",
        escalation=Escalation(
            level="person", urgency="low", reason=words, summary=words, since=now, due_at=now + 86_400.0
        ),
        last_message=words,
    )
    subject = f"$KV.{streams.DESK.name}.{conversation}"
    await target.bus.append(subject, codec.encode(waiting), message_id=secrets.token_hex(8))


async def restore_backups(target: Target, number: int, backup: str) -> None:
    """Restore a backup of the other region's knowledge base."""
    async with aiohttp.ClientSession(headers=target.suite.operator_headers) as session:
        for _ in range(number):
            target.made["backup"] += 1
            body = {"type": "knowledge.restore", "backup": backup, "replace": True}
            async with session.post(f"{target.suite.url}/v1/ops/knowledge/restore", json=body) as response:
                assert response.status == HTTPStatus.NOT_FOUND, await response.text()


async def share_account(target: Target, number: int) -> None:
    """Start services of the other region in this account."""
    for index in range(number):
        target.made["streams"] += 1
        settings = ProcessSettings(region=target.other, instance=f"agents-attack-{index}")
        with pytest.raises(BusConfigError):
            await ServiceTopology(target.bus, "agents", settings).repair()


def write_key(file: Path, region: str) -> str:
    """Write a key file with an administrator of one region; return the key."""
    key = secrets.token_hex(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    file.write_text(
        f'[[operator]]\nname = "Ada"\nrole = "admin"\nsha256 = "{digest}"\nregions = ["{region}"]\n', encoding="utf-8"
    )
    file.chmod(0o600)
    return key
