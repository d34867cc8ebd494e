"""Keys of customers on a real server: creation, erasure in every process, a backup that brings one back, rotation."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from nats.aio.msg import Msg
from trunkline_chassis import customer_keys
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.customer_keys import CustomerKeys
from trunkline_chassis.errors import KeyUnavailableError, TextsErasedError
from trunkline_chassis.provision import provision
from trunkline_chassis.texts import Texts
from trunkline_chassis.wrapping_keys import FileWrappingKeys, WrappedSecret
from trunkline_ingress.adapters.erasure_file import ErasureFile
from trunkline_ingress.adapters.nats.erasures import NatsErasures
from trunkline_protocols import codec, subjects
from trunkline_protocols.customer_keys import CustomerErased, hash_of
from trunkline_protocols.customers import CustomerKnown, subject_of

from tests.support import live_folder
from tests.support.nats import nats_server

KEYS = "KV_CUSTOMER_KEYS"
TENANT = "default"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with one wrapping key."""
    file = tmp_path / "customer-keys"
    file.write_text(secrets.token_hex(32))
    return file


@pytest.fixture
def customer() -> str:
    """The id of a new customer."""
    return f"customer-{secrets.token_hex(6)}"


async def follow(bus: Bus, key_file: Path) -> CustomerKeys:
    """Return the keys of another process."""
    keys = CustomerKeys(bus, FileWrappingKeys(key_file))
    await keys.start()
    return keys


def write(file: Path, text: str) -> None:
    """Replace the contents of a file."""
    file.write_text(text)


def contents(file: Path) -> str:
    """Return the contents of a file."""
    return file.read_text()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def erasures(bus: Bus, file: Path | None = None) -> NatsErasures:
    """Return the erasures of a region."""
    return NatsErasures(bus, "local", CustomerBucket(bus), ErasureFile(file))


async def test_processes_that_need_a_key_at_once_create_one(bus: Bus, key_file: Path, customer: str) -> None:
    """The first one wins; a process that reads it later has the same."""
    processes = [await follow(bus, key_file) for _ in range(4)]
    hashed = hash_of(TENANT, customer)
    found = await asyncio.gather(*(each.current_or_new(TENANT, hashed) for each in processes))
    assert len({key.id for key in found}) == 1
    later = await (await follow(bus, key_file)).find(found[0].id)
    assert later.decrypt(found[0].encrypt(b"hello", b"context"), b"context") == b"hello"


async def test_known_key_needs_no_request(bus: Bus, key_file: Path, customer: str) -> None:
    """A turn of a known customer waits for nothing."""
    keys = await follow(bus, key_file)
    key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))
    asked: list[str] = []
    read = bus.last_message

    async def count(stream: str, subject_filter: str) -> object:
        asked.append(stream)
        return await read(stream, subject_filter)

    bus.last_message = count  # type: ignore[method-assign,assignment]
    assert await keys.find(key.id) is key
    assert await keys.current_or_new(TENANT, hash_of(TENANT, customer)) is key
    assert asked == []


async def test_erasure_reaches_every_process(bus: Bus, key_file: Path, customer: str) -> None:
    """Its key is used by none of them again, and the customer gets a new one."""
    first, second = await follow(bus, key_file), await follow(bus, key_file)
    hashed = hash_of(TENANT, customer)
    key = await first.current_or_new(TENANT, hashed)
    await second.find(key.id)
    heard: list[str] = []
    second.on_erased.append(heard.append)
    receipt = await erasures(bus).erase(TENANT, customer, operator="grace")
    assert receipt is not None
    assert (receipt.key, receipt.customer, receipt.fingerprint) == (key.id, hashed, key.fingerprint)
    await until(lambda: first.cached(key.id) is None and second.cached(key.id) is None)
    assert heard == [key.id]
    for process in (first, second, await follow(bus, key_file)):
        with pytest.raises(TextsErasedError):
            await process.find(key.id)
    assert (await second.current_or_new(TENANT, hashed)).id != key.id
    assert await bus.last_message(KEYS, subjects.customer_key(TENANT, hashed)) is not None


async def test_erased_key_of_a_backup_is_not_used(bus: Bus, key_file: Path, customer: str) -> None:
    """Not even before the list of erasures is applied; then it is overwritten."""
    keys = await follow(bus, key_file)
    hashed = hash_of(TENANT, customer)
    key = await keys.current_or_new(TENANT, hashed)
    subject = subjects.customer_key(TENANT, hashed)
    stored = await bus.last_message(KEYS, subject)
    assert stored is not None
    assert await erasures(bus).erase(TENANT, customer, operator="grace") is not None
    await bus.append(subject, stored.payload, message_id=secrets.token_hex(8))
    restored = await follow(bus, key_file)
    with pytest.raises(TextsErasedError):
        await restored.find(key.id)
    assert await restored.current(TENANT, hashed) is None
    await erasures(bus).apply_list()
    assert await bus.last_message(KEYS, subject) is None


async def test_file_brings_erasures_back_that_the_stream_has_lost(
    bus: Bus, key_file: Path, customer: str, tmp_path: Path
) -> None:
    """As after the restore of a backup that is older than they are; and the stream completes the file."""
    keys = await follow(bus, key_file)
    key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))
    _, fingerprint = key.id.split("-")
    receipt = CustomerErased(
        key=key.id,
        tenant=TENANT,
        customer=hash_of(TENANT, customer),
        fingerprint=fingerprint,
        operator="grace",
        at=1.0,
    )
    file = tmp_path / "erasures.jsonl"
    write(file, f"no receipt\n{codec.encode(receipt).decode()}\n")
    await erasures(bus, file).apply_list()
    await until(lambda: keys.cached(key.id) is None)
    with pytest.raises(TextsErasedError):
        await keys.find(key.id)
    copy = tmp_path / "copy.jsonl"
    await erasures(bus, copy).apply_list()
    assert ErasureFile(copy).read()[key.id] == receipt
    listed = contents(copy)
    await erasures(bus, copy).apply_list()
    assert contents(copy) == listed


async def test_missed_erasure_is_found(bus: Bus, key_file: Path, customer: str) -> None:
    """A process whose notification was lost reads the stream."""
    keys = await follow(bus, key_file)
    key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))

    async def lose(_: Msg) -> None:
        pass

    deaf = CustomerKeys(bus, FileWrappingKeys(key_file))
    deaf._on_message = lose  # type: ignore[method-assign,assignment]
    await deaf.start()
    await deaf.find(key.id)
    await erasures(bus).erase(TENANT, customer, operator="grace")
    assert deaf.cached(key.id) is not None
    await deaf._refresh()
    assert deaf.cached(key.id) is None


async def test_process_that_cannot_see_erasures_trusts_no_key(
    bus: Bus, key_file: Path, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute without a look at the stream."""
    keys = await follow(bus, key_file)
    key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))
    assert keys.cached(key.id) is key
    monkeypatch.setattr(customer_keys, "MAX_BLIND_S", -1.0)
    assert keys.cached(key.id) is None


async def test_wrapping_key_is_rotated(bus: Bus, key_file: Path, customer: str) -> None:
    """Without a restart: the new key comes first, the keys are encrypted again, the old one goes."""
    keys = await follow(bus, key_file)
    key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))
    old = contents(key_file)
    new = secrets.token_hex(32)
    write(key_file, f"{new}\n{old}\n")
    assert await keys.rewrap() == 1
    assert await keys.rewrap() == 0
    write(key_file, new)
    assert (await (await follow(bus, key_file)).find(key.id)).id == key.id
    write(key_file, old)
    with pytest.raises(KeyUnavailableError):
        await (await follow(bus, key_file)).find(key.id)


async def test_wrapped_key_is_bound_to_its_customer(key_file: Path) -> None:
    """One that is stored under the name of another customer is refused; so is a file without a key."""
    wrapping = FileWrappingKeys(key_file)
    wrapped = await wrapping.wrap(b"0" * 32, b"ada")
    assert await wrapping.unwrap(wrapped, b"ada") == b"0" * 32
    for changed, context in ((wrapped, b"bob"), (WrappedSecret(b"short", wrapped.wrapped_by), b"ada")):
        with pytest.raises(KeyUnavailableError):
            await wrapping.unwrap(changed, context)
    write(key_file, "no key")
    assert await wrapping.unwrap(wrapped, b"ada") == b"0" * 32
    with pytest.raises(KeyUnavailableError):
        FileWrappingKeys(key_file)


async def test_known_data_is_encrypted_and_lost_with_its_key(bus: Bus, key_file: Path, customer: str) -> None:
    """A process without the key file refuses it instead of showing ciphertext."""
    texts = Texts(await follow(bus, key_file))
    bucket, key = CustomerBucket(bus, texts), subject_of(TENANT, customer)
    await bucket.update(key, lambda _: CustomerKnown(claims={"plan": "a canary in the claims"}))
    stored = await bus.last_message("KV_CUSTOMERS", key)
    assert stored is not None
    assert b"canary" not in stored.payload
    assert (await bucket.load(key)).known == CustomerKnown(claims={"plan": "a canary in the claims"})
    with pytest.raises(KeyUnavailableError):
        await CustomerBucket(bus).load(key)
    await erasures(bus).erase(TENANT, customer, operator="grace")
    assert (await bucket.load(key)).known == CustomerKnown()


async def test_damaged_key_is_read_from_the_revision_before(bus: Bus, key_file: Path, customer: str) -> None:
    """And is erased in every revision; a key without a readable one is replaced."""
    keys = await follow(bus, key_file)
    hashed = hash_of(TENANT, customer)
    subject = subjects.customer_key(TENANT, hashed)
    key = await keys.current_or_new(TENANT, hashed)
    await bus.append(subject, b"\xff", message_id=secrets.token_hex(8))
    later = await follow(bus, key_file)
    assert (await later.find(key.id)).id == key.id
    assert (await later.current_or_new(TENANT, hashed)).id == key.id
    assert await erasures(bus).erase(TENANT, customer, operator="grace") is not None
    left = [stored.payload for stored in await bus.read_messages(KEYS, subject)]
    assert left == [b"\xff"]
    assert (await later.current_or_new(TENANT, hashed)).id != key.id


async def test_destroyed_key_is_in_no_file_of_the_server(key_file: Path, customer: str, tmp_path: Path) -> None:
    """In none of its revisions: it is overwritten, not only marked as deleted."""
    folder = tmp_path / "nats"
    folder.mkdir()
    with nats_server(folder) as url:
        bus = await connect(url, "test")
        await provision(bus, region="local", specialties=["triage"], replicas=1)
        keys = await follow(bus, key_file)
        key = await keys.current_or_new(TENANT, hash_of(TENANT, customer))
        # Else the whole file of the block would go.
        others = [await keys.current_or_new(TENANT, hash_of(TENANT, f"other-{number}")) for number in range(20)]
        first = await wrapped_key(bus, customer)
        write(key_file, f"{secrets.token_hex(32)}\n{contents(key_file)}")
        assert await keys.rewrap() == 1 + len(others)
        second = await wrapped_key(bus, customer)
        assert second in all_files(folder)
        assert await erasures(bus).erase(TENANT, customer, operator="grace") is not None
        await bus.close()
    left = all_files(folder)
    assert key.id.encode() in left, "the receipt stays"
    assert first not in left
    assert second not in left


async def wrapped_key(bus: Bus, customer: str) -> bytes:
    """Return the encrypted key of a customer as it is stored."""
    stored = await bus.last_message(KEYS, subjects.customer_key(TENANT, hash_of(TENANT, customer)))
    assert stored is not None
    return msgspec.json.encode(codec.customer_key.decode(stored.payload).wrapped).strip(b'"')


def all_files(folder: Path) -> bytes:
    """Return the contents of all files."""
    return b"".join(content for _, content in live_folder.contents(folder))
