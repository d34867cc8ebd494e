"""Stream HEADS, and the heads in PostgreSQL that it may lack.

Requests to the stream do without the retries of `Bus.append` and `Bus.last_message`: these move the connection to
another server if none is answered, and a server whose accounts do not grant the stream yet answers none. That would
interrupt recording.
"""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import MESSAGE_NOT_FOUND, Bus
from trunkline_chassis.errors import BusRefusedError, BusUnavailableError
from trunkline_chassis.jetstream_replies import RawMessage, pub_ack
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.decoding import DecodeError, convert

from trunkline_audit.adapters.session import connected, map_errors
from trunkline_audit.core.heads import TreeHead, head_of, message_of

_TIMEOUT_S: Final = 5.0
_FIELDS: Final = "log, size, root, at, key, signature"
_HAS: Final = "SELECT EXISTS (SELECT FROM tree_heads WHERE size = $1 AND root = $2)"
_SINCE: Final = f"SELECT {_FIELDS} FROM tree_heads WHERE size > $1 OR at > $2 ORDER BY at, size LIMIT $3"  # noqa: S608 - constants


class JetStreamHeads:
    """The heads of one region in the stream."""

    def __init__(self, bus: Bus, region: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Use the connection of the process; a request without a reply fails after `timeout_s`."""
        self._bus = bus
        self._timeout_s = timeout_s
        self._subject = subjects.head(region)

    async def last(self) -> TreeHead | None:
        """Return the last head, None without one; one that cannot be decoded counts as none."""
        try:
            query = {"last_by_subj": self._subject}
            reply = await self._bus.api(f"STREAM.MSG.GET.{streams.HEADS.name}", query, timeout_s=self._timeout_s)
        except BusRefusedError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise
        try:
            return head_of(codec.head.decode(convert(reply["message"], RawMessage).data))
        except (DecodeError, ValueError) as error:
            report_undecodable("head", self._subject, error)
            return None

    async def publish(self, head: TreeHead) -> None:
        """Append a head and wait for the acknowledgement; a repetition appends it again, which does no harm."""
        reply = await self._bus.request(self._subject, codec.encode(message_of(head)), timeout_s=self._timeout_s)
        try:
            ack = pub_ack.decode(reply)
        except DecodeError as error:
            raise BusUnavailableError(f"the reply on {self._subject} is no acknowledgement") from error
        if ack.error is not None:
            raise BusRefusedError(ack.error.err_code or ack.error.code, ack.error.description)


class PostgresHeads:
    """The signed heads in the database, each read on a connection of its own."""

    def __init__(self, dsn: str) -> None:
        """Connect when heads are read."""
        self._dsn = dsn

    async def has(self, head: TreeHead) -> bool:
        """Return whether the archive has a head of that size with that root."""
        async with connected(self._dsn) as connection:
            with map_errors():
                return bool(await connection.fetchval(_HAS, head.size, head.root))

    async def since(self, head: TreeHead, limit: int) -> list[TreeHead]:
        """Return the heads that are larger or later than one, the earliest first."""
        async with connected(self._dsn) as connection:
            with map_errors():
                return [TreeHead(**dict(each)) for each in await connection.fetch(_SINCE, head.size, head.at, limit)]
