"""Desk commands, stored in INBOX beside the customers' messages, and their outcomes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

import nats.errors
from msgspec.structs import replace
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError, FenceError, TextsErasedError
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.customer_keys import hash_of
from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.texts import StoredTexts

_OUTCOME_TIMEOUT_S: Final = 10.0
_MAX_ATTEMPTS: Final = 5


class NatsDesk:
    """Desk commands on JetStream, outcomes on core NATS."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def submit(
        self, region: str, conversation: ConversationId, make_command: Callable[..., DeskMessage]
    ) -> DeskOutcome:
        """Append a command behind the conversation's last one and wait for its outcome."""
        subject = subjects.desk(region, conversation)
        reply_to = self._bus.client.new_inbox()
        subscription = await self._bus.client.subscribe(reply_to, max_msgs=1)
        try:
            key = await self._key_of(region, conversation)
            for _ in range(_MAX_ATTEMPTS):
                last = await self._bus.last_message(streams.INBOX.name, subject)
                previous = last.seq if last is not None else 0
                command = make_command(conversation=conversation, previous=previous, at=time.time(), reply_to=reply_to)
                if isinstance(command, StoredTexts):
                    command = await self._texts.encrypt(replace(command, key=key))
                try:
                    await self._bus.append(
                        subject,
                        codec.encode(command),
                        message_id=f"{conversation}-desk-{secrets.token_hex(8)}",
                        fence=(subject, previous),
                    )
                except FenceError:
                    continue
                return codec.desk_outcome.decode((await subscription.next_msg(timeout=_OUTCOME_TIMEOUT_S)).data)
        except TextsErasedError:
            return DeskOutcome(done=False, reason="the customer's data was erased")
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(
                f"no outcome within {_OUTCOME_TIMEOUT_S:g} s, the command may still run; reload the conversation"
            ) from error
        finally:
            await subscription.unsubscribe()
        raise BusUnavailableError(f"concurrent desk commands: gave up after {_MAX_ATTEMPTS} attempts")

    async def _key_of(self, region: str, conversation: ConversationId) -> str:
        """Return the id of the key of a conversation's texts, empty if they are in clear or the log is empty."""
        last = await self._bus.last_message(streams.CONVERSATIONS.name, subjects.log_fence(region, conversation))
        if last is None:
            return ""
        commit = codec.commit.decode(last.payload)
        if commit.erased:
            raise TextsErasedError(commit.key)
        return commit.key or await self._texts.key_of(commit.tenant, hash_of(commit.tenant, commit.customer))
