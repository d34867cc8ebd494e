"""Messages that the NATS servers of a suite on this machine have received and sent, by client and by stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from trunkline_protocols.decoding import decode, encode
from trunkline_protocols.permissions import inbox_prefix
from trunkline_supervisor.adapters.nats_credentials import SYSTEM_USER, credentials_folder, operator_url_file

from trunkline_cli.errors import CommandError

_CONNECTIONS: Final = "$SYS.REQ.SERVER.PING.CONNZ"
_GATHER_S: Final = 0.5
_TIMEOUT_S: Final = 5.0
_PAGE: Final = 1_024
_SERVICES: Final = ("agents", "audit", "conversation", "ingress", "llm_gateway", "rag", "supervisor")
_OWN: Final = frozenset({"bench", "supervisor-probe", "unnamed"})


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals since the start of the servers, or of the clients."""

    received: Counter[str] = field(default_factory=Counter)
    """Messages from each client to a server, by the name of its connection."""
    sent: Counter[str] = field(default_factory=Counter)
    """Messages from a server to each client."""
    appended: Counter[str] = field(default_factory=Counter)
    """Messages appended to each stream; buckets are streams with the prefix KV_."""
    delivered: Counter[str] = field(default_factory=Counter)
    """Messages delivered to the consumers of each stream."""

    def since(self, earlier: Traffic) -> Traffic:
        """Return the traffic after an earlier reading."""
        return Traffic(
            self.received - earlier.received,
            self.sent - earlier.sent,
            self.appended - earlier.appended,
            self.delivered - earlier.delivered,
        )


class BrokerTraffic:
    """Reads the totals: connections from the system account, streams and consumers as the read-only operator."""

    def __init__(self, system: Client, operator: Client) -> None:
        """Use `open_broker_traffic` to create one."""
        self._system = system
        self._operator = operator

    async def read(self) -> Traffic:
        """Return the totals of now."""
        traffic = await self.read_clients()
        for stream in await self._list("STREAM.LIST", "streams"):
            name = stream["config"]["name"]
            traffic.appended[name] += stream["state"]["last_seq"]
            for consumer in await self._list(f"CONSUMER.LIST.{name}", "consumers"):
                traffic.delivered[name] += consumer["delivered"]["consumer_seq"]
        return traffic

    async def read_clients(self) -> Traffic:
        """Return the totals of the clients only, which takes two messages."""
        traffic = Traffic()
        for server in await self._connections():
            for connection in server["data"]["connections"] or ():
                name = connection.get("name") or "unnamed"
                traffic.received[name] += connection["in_msgs"]
                traffic.sent[name] += connection["out_msgs"]
        return traffic

    async def replicas(self) -> dict[str, int]:
        """Return the number of replicas of each stream."""
        return {
            stream["config"]["name"]: stream["config"].get("num_replicas", 1)
            for stream in await self._list("STREAM.LIST", "streams")
        }

    async def _connections(self) -> list[dict[str, Any]]:
        """Return the reply of each server of the cluster."""
        replies: list[dict[str, Any]] = []

        async def receive(message: Msg) -> None:
            replies.append(decode(message.data, dict))

        inbox = self._system.new_inbox()
        subscription = await self._system.subscribe(inbox, cb=receive)
        await self._system.publish(_CONNECTIONS, encode({"limit": _PAGE}), reply=inbox)
        await asyncio.sleep(_GATHER_S)
        await subscription.unsubscribe()
        return replies

    async def _list(self, api: str, key: str) -> list[dict[str, Any]]:
        """Return all pages of a list of the JetStream API."""
        found: list[dict[str, Any]] = []
        while True:
            request = encode({"offset": len(found)})
            reply = await self._operator.request(f"$JS.API.{api}", request, timeout=_TIMEOUT_S)
            page = decode(reply.data, dict)
            found += page.get(key) or []
            if not page.get(key) or len(found) >= page["total"]:
                return found


def by_service(connections: Mapping[str, int]) -> Counter[str]:
    """Add up the connections of each service, by the beginning of their names; those of benches are left out."""
    found: Counter[str] = Counter()
    for name, count in connections.items():
        if name not in _OWN:
            found[next((service for service in _SERVICES if name.startswith(service)), "other")] += count
    return found


@asynccontextmanager
async def open_broker_traffic(data_dir: Path) -> AsyncIterator[BrokerTraffic]:
    """Connect with the users of an embedded server, which its data folder has; raise `CommandError` without them."""
    try:
        operator = operator_url_file(data_dir).read_text(encoding="utf-8-sig").strip()
        password = (credentials_folder(data_dir) / SYSTEM_USER).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise CommandError(f"{data_dir} has no access to an embedded NATS: {error}") from error
    parts = urlsplit(operator)
    system = f"nats://{SYSTEM_USER}:{password}@{parts.hostname}:{parts.port}"
    try:
        first = await nats.connect(system, name="bench", connect_timeout=_TIMEOUT_S, max_reconnect_attempts=1)
        second = await nats.connect(
            operator,
            name="bench",
            connect_timeout=_TIMEOUT_S,
            max_reconnect_attempts=1,
            inbox_prefix=inbox_prefix("operator"),
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise CommandError(f"NATS of {data_dir} does not answer: {type(error).__name__}") from error
    try:
        yield BrokerTraffic(first, second)
    finally:
        await first.close()
        await second.close()
