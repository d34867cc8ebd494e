"""Roll forward of restored streams to the archive: messages that it has behind a stream's last one are appended again.

They get their former sequences, so that streams and archive agree, and no new message is taken for one that is archived
already. A sequence whose message the archive lacks stays unused. Behind the last one, INBOX and CONVERSATIONS leave a
reserve of sequences unused too: a turn that is lost with the last seconds may have called tools under an id that
contains its sequence, which no other turn may get.

No process of the suite may run meanwhile. A roll forward that was interrupted goes on where it ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec
from trunkline_audit.adapters.home_region import require_home
from trunkline_audit.adapters.session import connected
from trunkline_audit.ports import ArchiveElsewhereError, ArchiveUnavailableError
from trunkline_chassis.bus import Bus
from trunkline_chassis.stream_snapshots import stored_streams
from trunkline_protocols import streams
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.streams import StreamSpec

from trunkline_cli.backup.sequenced_append import SequencedMessage, SequencedStream
from trunkline_cli.errors import CommandError

RESERVE: Final = 10_000
"""Sequences that stay unused behind the last archived one: 100 messages a second for the lag of the archive."""
_RESERVED: Final = frozenset({streams.INBOX.name, streams.CONVERSATIONS.name})
_COMMAND_TIMEOUT_S: Final = 600.0
_ANY_SUBJECT: Final = "*.>"
"""Under ">" alone, the server finds no last message if the last sequences are unused."""
_PAGE: Final = 500
# Of a stream that was created again, the archive has several messages under one sequence; the last one counts.
_PAGE_OF: Final = """
SELECT DISTINCT ON (sequence) sequence, subject, raw FROM messages
WHERE stream = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence, at DESC LIMIT $4
"""
_AT: Final = "SELECT raw = $3 FROM messages WHERE stream = $1 AND sequence = $2 ORDER BY at DESC LIMIT 1"
_POSITION: Final = "SELECT sequence FROM positions WHERE stream = $1"
_MOVE: Final = "UPDATE positions SET at = greatest(at, $2) WHERE stream = $1"
_CLOCK_STEP: Final = timedelta(milliseconds=1)
"""More than the digits that a stream's time loses in PostgreSQL."""


class _Answered(msgspec.Struct):
    """Sequences of INBOX that a commit has processed."""

    inbox_seq: int = 0
    desk_seq: int = 0


_answered: Final[Decoder[_Answered]] = Decoder(_Answered)


class StreamAdvance(msgspec.Struct, frozen=True, kw_only=True):
    """The roll forward of one stream."""

    stream: str
    restored: int
    """Last sequence before."""
    archived: int
    """Sequence up to which the archive is complete."""
    appended: int
    """Messages that were appended."""
    unused: int
    """Sequences in between whose messages the archive lacks."""
    last: int
    """Last sequence now."""


async def roll_forward(bus: Bus, dsn: str, *, region: str, reserve: int = RESERVE) -> list[StreamAdvance]:
    """Append what the archive has and the streams lack; return one line per stream.

    Raises `CommandError` if the archive is of other streams or of another region, `BusError` if a stream does not
    acknowledge: it can be repeated.
    """
    advances: list[StreamAdvance] = []
    existing = await stored_streams(bus)  # of an earlier version, a backup may lack one
    async with _archive(dsn, region) as archive:
        answered = 0
        # A commit may be archived before the message that it answers, so INBOX comes last, and goes beyond that.
        specs = [spec for spec in streams.AUDITED if spec.name in existing]
        for spec in sorted(specs, key=lambda each: each.name == streams.INBOX.name):
            roll = _Roll(bus, archive, spec)
            advances.append(await roll.run(reserve, answered))
            answered = max(answered, roll.answered)
    return advances


class _Roll:
    """The roll forward of one stream."""

    def __init__(self, bus: Bus, archive: asyncpg.Connection, spec: StreamSpec) -> None:
        self._bus = bus
        self._archive = archive
        self._name = spec.name
        self._stream = SequencedStream(bus, spec)
        self.answered = 0
        """Last sequence of INBOX that an appended commit has processed."""

    async def run(self, reserve: int, answered: int) -> StreamAdvance:
        before = (await self._stream.state())["last_seq"]
        position = int(await self._archive.fetchval(_POSITION, self._name) or 0)
        appended = unused = 0
        if position > before:
            await self._require_same_stream(before)
            async for message in self._records(before, position):
                unused += await self._stream.append(message)
                appended += 1
                self._note(message)
        if self._name in _RESERVED:
            await self._stream.reserve(max(position, before, answered) + reserve)
        state = await self._stream.finish()
        await self._keep_from_recording_again(position, datetime.fromisoformat(state["last_ts"]))
        return StreamAdvance(
            stream=self._name,
            restored=before,
            archived=position,
            appended=appended,
            unused=unused,
            last=state["last_seq"],
        )

    async def _keep_from_recording_again(self, position: int, last_at: datetime) -> None:
        """Date the position of the archive to the new times: audit compares earlier messages with their records."""
        last = await self._bus.last_message(self._name, _ANY_SUBJECT)
        if last is not None and last.seq <= position:  # else audit continues behind the archive's last record
            await self._archive.execute(_MOVE, self._name, last_at + _CLOCK_STEP)

    async def _records(self, after: int, last: int) -> AsyncIterator[SequencedMessage]:
        while True:
            page = await self._archive.fetch(_PAGE_OF, self._name, after, last, _PAGE)
            for row in page:
                after = row["sequence"]
                if row["raw"] is not None:  # archived by retention, which removes it from the stream too
                    yield SequencedMessage(after, row["subject"], row["raw"])
            if len(page) < _PAGE:
                return

    async def _require_same_stream(self, last: int) -> None:
        """Refuse an archive whose message under the stream's last sequence is another one."""
        stored = await self._bus.get_message(self._name, last) if last else None
        if stored is None:
            return
        if await self._archive.fetchval(_AT, self._name, last, stored.payload) is False:
            raise CommandError(
                f"stream {self._name}: message {last} is another one in the archive, which was written from other "
                "streams; restore the backup that belongs to it"
            )

    def _note(self, message: SequencedMessage) -> None:
        if self._name != streams.CONVERSATIONS.name:
            return
        try:
            commit = _answered.decode(message.payload)
        except DecodeError:
            return  # is archived as it is, and answers nothing
        self.answered = max(self.answered, commit.inbox_seq, commit.desk_seq)


@asynccontextmanager
async def _archive(dsn: str, region: str) -> AsyncIterator[asyncpg.Connection]:
    with _map_errors():
        async with connected(dsn, command_timeout_s=_COMMAND_TIMEOUT_S) as connection:
            await require_home(connection, region)
            yield connection


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise CommandError("the database holds no archive: restore it first") from error
    except ArchiveElsewhereError as error:
        raise CommandError(f"PostgreSQL: {error}") from error
    except ArchiveUnavailableError as error:
        raise CommandError(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(f"PostgreSQL: {type(error).__name__}: {error}") from error
