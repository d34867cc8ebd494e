"""Try every subject of the catalogue and of the JetStream API with one key: what a server refuses."""

from __future__ import annotations

import asyncio
import re
from typing import Final, NamedTuple

from nats.aio.client import Client
from trunkline_protocols import streams
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.permissions import PRINCIPALS, Principal, inbox_prefix, permissions

_BUCKET_STREAMS: Final = [f"KV_{bucket.name}" for bucket in streams.BUCKETS]
_STREAMS: Final = [*(stream.name for stream in streams.STREAMS), *_BUCKET_STREAMS]
_API_VERBS: Final = (
    "STREAM.MSG.GET",
    "DIRECT.GET",
    "STREAM.INFO",
    "STREAM.UPDATE",
    "STREAM.PURGE",
    "STREAM.DELETE",
    "STREAM.MSG.DELETE",
    "STREAM.SNAPSHOT",
    "STREAM.RESTORE",
    "CONSUMER.CREATE",
)
_CATALOGUE: Final = [re.sub(r"\{\w+\}", "x", channel.address) for channel in CHANNELS if channel.carrier != "websocket"]
_API: Final = [f"$JS.API.{verb}.{stream}" for verb in _API_VERBS for stream in _STREAMS]
_CONSUMERS: Final = [
    f"$JS.API.CONSUMER.{verb}.{stream}.{name}"
    for verb in ("MSG.NEXT", "INFO", "RESET", "UNPIN", "DELETE")
    for stream, name in (("INBOX", "slot-local-3"), ("WORK", "agents-billing-high"), ("CONVERSATIONS", "audit"))
]
_INBOXES: Final = [inbox_prefix(name) for name in PRINCIPALS]
_NEVER_GRANTED: Final = "last.subject"


class Subjects(NamedTuple):
    """Subjects to publish to and to subscribe to."""

    publish: list[str]
    subscribe: list[str]

    def lower(self) -> Subjects:
        """Return the subjects as a client reports a refusal."""
        return Subjects([subject.lower() for subject in self.publish], [subject.lower() for subject in self.subscribe])


EVERYTHING: Final = Subjects(
    publish=[*_CATALOGUE, *_API, *_CONSUMERS, *(f"{inbox}.reply" for inbox in _INBOXES), "$SYS.REQ.USER.INFO"],
    subscribe=[*_CATALOGUE, ">", "$JS.>", "_INBOX.>", *(f"{inbox}.>" for inbox in _INBOXES)],
)


def refused_by_table(principal: Principal, *, region: str) -> Subjects:
    """Return those that the permission table does not grant."""
    table = permissions(principal, region=region)
    return Subjects(
        [subject for subject in EVERYTHING.publish if not _is_granted(subject, table.publish)],
        [subject for subject in EVERYTHING.subscribe if not _is_granted(subject, table.subscribe)],
    )


async def try_subjects(client: Client, principal: str, violations: list[str], subjects: Subjects) -> Subjects:
    """Publish and subscribe, and close; return the subjects in lower case that the server has refused, in order.

    `violations` is where the `error_cb` of the client collects. A published body is `{}`: with the rights for it, that
    empties or deletes a stream.
    """
    for subject in subjects.publish:
        await client.publish(subject, b"{}", reply=f"{inbox_prefix(principal)}.x")
    for subject in subjects.subscribe:
        await client.subscribe(subject)
    await settle(client, violations)
    published = _subjects(violations, 'publish to "(.+)"')
    subscribed = _subjects(violations, 'subscription to "(.+)"')
    tried = subjects.lower()
    return Subjects(
        [subject for subject in tried.publish if subject in published],
        [subject for subject in tried.subscribe if subject in subscribed],
    )


async def settle(client: Client, violations: list[str]) -> None:
    """Wait until every refusal has arrived: the last one is that of a subject which no table grants; close."""
    await client.publish(_NEVER_GRANTED, b"")
    async with asyncio.timeout(20):
        while not any(_NEVER_GRANTED in text for text in violations):
            await asyncio.sleep(0.01)
    await client.close()
    violations[:] = [text for text in violations if _NEVER_GRANTED not in text]


def _is_granted(subject: str, patterns: tuple[str, ...]) -> bool:
    """Match a subject against NATS patterns; a wildcard subscription needs a pattern that contains it."""
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]+").replace(r"\.>", r"\..+").replace(">", ".+"), subject)
        for pattern in patterns
    )


def _subjects(violations: list[str], pattern: str) -> set[str]:
    return {match[1] for text in violations if (match := re.search(pattern, text, re.IGNORECASE))}
