"""Keys of customers: a bounded cache in front of KV CUSTOMER_KEYS that follows the erasures in stream ERASURES.

A turn of a known customer needs no request. A key is read from the bucket's leader together with its erasure, so that a
key that a backup has brought back is not used. An erasure removes the key from every process at once; a process that
has not read the end of ERASURES for `MAX_BLIND_S` trusts no key in its memory.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.customer_keys import CustomerErased, CustomerKey, fingerprint_of, key_id, parse_key_id

from trunkline_chassis.cache_metrics import CACHE_HITS, CACHE_MISSES
from trunkline_chassis.errors import FenceError, KeyUnavailableError, TextsErasedError
from trunkline_chassis.refresher import Refresher
from trunkline_chassis.undecodable import report_undecodable
from trunkline_chassis.wrapping_keys import NONCE_BYTES, WrappedSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from trunkline_chassis.bus import Bus, StreamMessage
    from trunkline_chassis.wrapping_keys import WrappingKeys

_log: Final = structlog.get_logger(__name__)
_CACHE: Final = "customer_keys"
_STREAM: Final = f"KV_{streams.CUSTOMER_KEYS.name}"
_KEY_BYTES: Final = 32
_MAX_KEYS: Final = 10_000
_MAX_ERASED: Final = 10_000
_MAX_ATTEMPTS: Final = 5
"""Attempts to create a key: each fails only because another process has created it in between."""
_REFRESH_INTERVAL_S: Final = 15.0
MAX_BLIND_S: Final = 60.0
"""Longest time for which keys in memory are used without a look at the erasures."""


class DataKey:
    """Implements `TextKey` with AES-256 in Galois/Counter mode."""

    __slots__ = ("_cipher", "fingerprint", "id")

    def __init__(self, customer: str, secret: bytes) -> None:
        """`customer` is the hash of the customer, `secret` has 32 bytes."""
        self.fingerprint = fingerprint_of(secret)
        self.id = key_id(customer, self.fingerprint)
        self._cipher = AESGCM(secret)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """Return a random nonce and the ciphertext."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """Return the text; raise `DecodeError` if it is not authentic."""
        try:
            return self._cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise codec.ValidationError("a text is not authentic") from None


class CustomerKeys:
    """Finds, creates and forgets keys."""

    def __init__(self, bus: Bus, wrapping: WrappingKeys, *, now: Callable[[], float] = time.time) -> None:
        """`now` returns Unix seconds; call `start` before the first use."""
        self._bus = bus
        self._wrapping = wrapping
        self._now = now
        self._keys: OrderedDict[str, DataKey] = OrderedDict()
        self._current: dict[str, str] = {}
        """Ids of the keys in memory by the hash of their customer."""
        self._erased: OrderedDict[str, None] = OrderedDict()
        self._refresher = Refresher(bus, self._refresh, name="erasures", interval_s=_REFRESH_INTERVAL_S)
        self._sequence = 0
        self._seen_at = 0.0
        self.on_erased: list[Callable[[str], None]] = []
        """Called with the id of every key that is destroyed."""

    async def start(self) -> None:
        """Follow the erasures from now on."""
        await self._bus.subscribe(subjects.ERASURES, self._on_message)
        last = await self._bus.last_message(streams.ERASURES.name, subjects.ERASURES)
        self._sequence = last.seq if last is not None else 0
        self._seen_at = time.monotonic()

    async def run(self) -> None:
        """Read missed erasures after every reconnection and periodically, until cancelled."""
        await self._refresher.run()

    def cached(self, key: str) -> DataKey | None:
        """Return a key from memory."""
        if time.monotonic() - self._seen_at > MAX_BLIND_S:
            self._keys.clear()
            self._current.clear()
            return None
        found = self._keys.get(key)
        if found is not None:
            self._keys.move_to_end(key)
        return found

    async def find(self, key: str) -> DataKey:
        """Return the key with an id.

        Raises `TextsErasedError` if it is destroyed, `BusError` if that cannot be known now, `DecodeError` for an
        invalid id.
        """
        found = self.cached(key)
        if found is not None:
            CACHE_HITS.labels(_CACHE).inc()
            return found
        CACHE_MISSES.labels(_CACHE).inc()
        customer, _ = parse_key_id(key)
        (record, _), is_erased = await asyncio.gather(
            read_key(self._bus, subjects.customer_key_any(customer)), self._is_erased(key)
        )
        if is_erased or record is None or record.id != key:
            if not is_erased:
                _log.error("customer_key.missing", key=key)
            raise TextsErasedError(key)
        return await self._unwrap(customer, record)

    async def current(self, tenant: str, customer: str) -> DataKey | None:
        """Return the key of a customer, by the hash, None without one; raises `BusError`."""
        found = self.cached(self._current.get(customer, ""))
        if found is not None:
            CACHE_HITS.labels(_CACHE).inc()
            return found
        CACHE_MISSES.labels(_CACHE).inc()
        found, _ = await self._load(tenant, customer)
        return found

    async def current_or_new(self, tenant: str, customer: str) -> DataKey:
        """Return the key of a customer, by the hash; create it if it is missing. Raises `BusError`."""
        found = self.cached(self._current.get(customer, ""))
        if found is not None:
            CACHE_HITS.labels(_CACHE).inc()
            return found
        CACHE_MISSES.labels(_CACHE).inc()
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            found, revision = await self._load(tenant, customer)
            if found is not None:
                return found
            try:
                return await self._create(tenant, customer, revision)
            except FenceError:
                if not attempts_left:
                    raise
        raise AssertionError("unreachable")

    async def rewrap(self) -> int:
        """Encrypt every key with the current wrapping key that another one has encrypted; return their number.

        A key that cannot be decrypted is logged and left as it is.
        """
        changed = 0
        async for batch in self._bus.read_batches(_STREAM, subjects.CUSTOMER_KEYS):
            for stored in batch:
                changed += await self._rewrap(stored)
        return changed

    async def _rewrap(self, stored: StreamMessage) -> bool:
        """Encrypt a stored key again; a key that cannot be decrypted stays as it is."""
        try:
            record = decode_key(stored)
            if record is None or record.wrapped_by == self._wrapping.current:
                return False
            wrapped = WrappedSecret(record.wrapped, record.wrapped_by)
            secret = await self._wrapping.unwrap(wrapped, record.id.encode())
            await self._store(stored.subject, record.id, secret, record.created_at, revision=stored.seq)
        except FenceError:  # erased, or encrypted again, meanwhile
            return False
        except KeyUnavailableError as error:
            _log.error("customer_key.not_rewrapped", revision=stored.seq, error=str(error))
            return False
        return True

    async def _load(self, tenant: str, customer: str) -> tuple[DataKey | None, int]:
        """Return the stored key and the revision of its subject; a key that is erased counts as none."""
        record, revision = await read_key(self._bus, subjects.customer_key(tenant, customer))
        if record is None or await self._is_erased(record.id):
            return None, revision
        return await self._unwrap(customer, record), revision

    async def _create(self, tenant: str, customer: str, revision: int) -> DataKey:
        secret = os.urandom(_KEY_BYTES)
        created = DataKey(customer, secret)
        await self._store(subjects.customer_key(tenant, customer), created.id, secret, self._now(), revision=revision)
        return self._keep(customer, created)

    async def _store(self, subject: str, key: str, secret: bytes, created_at: float, *, revision: int) -> None:
        wrapped = await self._wrapping.wrap(secret, key.encode())
        record = CustomerKey(id=key, wrapped=wrapped.wrapped, wrapped_by=wrapped.wrapped_by, created_at=created_at)
        await self._bus.append(
            subject,
            codec.encode(record),
            message_id=f"{key}-{wrapped.wrapped_by}-{revision}",
            fence=(subject, revision),
        )

    async def _unwrap(self, customer: str, record: CustomerKey) -> DataKey:
        secret = await self._wrapping.unwrap(WrappedSecret(record.wrapped, record.wrapped_by), record.id.encode())
        found = DataKey(customer, secret)
        if found.id != record.id:
            raise KeyUnavailableError("a customer's key is stored under the name of another one")
        return self._keep(customer, found)

    def _keep(self, customer: str, key: DataKey) -> DataKey:
        if key.id in self._erased:  # while it was read
            raise TextsErasedError(key.id)
        self._keys[key.id] = key
        self._current[customer] = key.id
        while len(self._keys) > _MAX_KEYS:
            oldest, _ = self._keys.popitem(last=False)
            self._current.pop(parse_key_id(oldest)[0], None)
        return key

    # -- erasures ---

    async def _is_erased(self, key: str) -> bool:
        if key not in self._erased:
            customer, fingerprint = parse_key_id(key)
            filter_ = subjects.erasure_any(customer, fingerprint)
            if await self._bus.last_message(streams.ERASURES.name, filter_) is not None:
                self._remember(key)
        return key in self._erased

    def forget(self, key: str) -> None:
        """Remove a destroyed key from memory, and never use it again."""
        self._keys.pop(key, None)
        customer, _ = parse_key_id(key)
        if self._current.get(customer) == key:
            del self._current[customer]
        self._remember(key)
        for listener in self.on_erased:
            listener(key)

    def _remember(self, key: str) -> None:
        self._erased[key] = None
        self._erased.move_to_end(key)
        if len(self._erased) > _MAX_ERASED:
            self._erased.popitem(last=False)

    async def _refresh(self) -> None:
        last = await self._bus.last_message(streams.ERASURES.name, subjects.ERASURES)
        sequence = last.seq if last is not None else 0
        if sequence != self._sequence:
            # A lower sequence: the stream was created again.
            after = self._sequence if sequence > self._sequence else 0
            for stored in await self._bus.read_messages(streams.ERASURES.name, subjects.ERASURES, after=after):
                self._apply(stored.subject, stored.payload)
            self._sequence = sequence
        self._seen_at = time.monotonic()

    async def _on_message(self, message: Msg) -> None:
        self._apply(message.subject, message.data)

    def _apply(self, subject: str, payload: bytes) -> None:
        try:
            erased: CustomerErased = codec.customer_erased.decode(payload)
            self.forget(erased.key)
        except codec.DecodeError as error:
            report_undecodable("erasures", subject, error)


async def read_key(bus: Bus, subject: str) -> tuple[CustomerKey | None, int]:
    """Return the last readable key under a subject, None without one, and the last revision, 0 without one."""
    last = await bus.last_message(_STREAM, subject)
    if last is None:
        return None, 0
    found = decode_key(last)
    if found is None:
        # The bucket keeps earlier revisions for a value that was damaged.
        revisions = await bus.read_messages(_STREAM, subject)
        found = next((key for each in reversed(revisions) if (key := decode_key(each)) is not None), None)
    return found, last.seq


def decode_key(stored: StreamMessage) -> CustomerKey | None:
    """Return a stored key; None if it cannot be decoded, which is reported."""
    try:
        return codec.customer_key.decode(stored.payload)
    except codec.DecodeError as error:
        report_undecodable("customer_keys", stored.subject, error, sequence=stored.seq)
        return None
