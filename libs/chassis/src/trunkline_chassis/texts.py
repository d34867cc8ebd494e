"""Texts of customers on their way to and from the streams: encrypted and decrypted with the keys of the customers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import Field, field_validator
from trunkline_protocols.texts import M, decrypt_texts, encrypt_texts, erase_texts

from trunkline_chassis.customer_keys import CustomerKeys
from trunkline_chassis.errors import KeyUnavailableError, TextsErasedError
from trunkline_chassis.settings import ProcessSettings
from trunkline_chassis.startup import retry_start
from trunkline_chassis.wrapping_keys import FileWrappingKeys

if TYPE_CHECKING:
    from trunkline_chassis.lifecycle import Process

KEY_FILE: Final = (
    "File with the key that encrypts the keys of customers' texts, the same on all nodes: 64 hexadecimal digits; "
    "further lines hold former keys, which only decrypt"
)
ENCRYPTION: Final = (
    "Encrypt customers' texts where they are stored, if there is a key file; else new texts are in clear"
)


class TextSettings(ProcessSettings):
    """Settings of the processes that store or read texts of customers."""

    key_file: Path | None = Field(None, description=KEY_FILE)
    encryption: bool = Field(default=True, description=ENCRYPTION)

    @field_validator("key_file", mode="before")
    @classmethod
    def _read_no_file(cls, value: object) -> object:
        """Return None for an empty variable, as a template writes it."""
        return None if value == "" else value


S = TypeVar("S", bound=TextSettings)


class Texts:
    """Encrypts and decrypts messages. Messages without a key are in clear and pass unchanged.

    All methods raise `BusError` if a key cannot be read now.
    """

    def __init__(self, keys: CustomerKeys | None, *, encrypts: bool = True, may_create: bool = True) -> None:
        """Without keys, encrypted messages are refused. `encrypts`: new texts are; `may_create`: and new keys."""
        self._keys = keys
        self._encrypts = encrypts
        self._may_create = may_create

    async def key_of(self, tenant: str, customer: str) -> str:
        """Return the id of the key for new texts of a customer, by the hash; empty if they are stored in clear.

        Raises `TextsErasedError` if there is no key and this process creates none.
        """
        if self._keys is None or not self._encrypts:
            return ""
        if self._may_create:
            return (await self._keys.current_or_new(tenant, customer)).id
        found = await self._keys.current(tenant, customer)
        if found is None:
            raise TextsErasedError("")
        return found.id

    async def is_erased(self, key: str) -> bool:
        """Return whether the key of texts is destroyed; never for texts in clear."""
        if not key:
            return False
        try:
            await self._required().find(key)
        except TextsErasedError:
            return True
        return False

    async def encrypt(self, message: M) -> M:
        """Return a message as it is stored, by its field `key`; raise `TextsErasedError` if that key is destroyed."""
        return encrypt_texts(message, await self._required().find(message.key)) if message.key else message

    async def decrypt(self, message: M) -> M:
        """Return a stored message with its texts in clear.

        Raises `TextsErasedError` if they are erased, `DecodeError` if one is not authentic.
        """
        return decrypt_texts(message, await self._required().find(message.key)) if message.key else message

    async def decrypt_or_erase(self, message: M) -> M:
        """Return a stored message with its texts in clear, or with `ERASED` in their place."""
        try:
            return await self.decrypt(message)
        except TextsErasedError:
            return erase_texts(message)

    def _required(self) -> CustomerKeys:
        if self._keys is None:
            raise KeyUnavailableError("the text is encrypted and TRUNKLINE_KEY_FILE is not set")
        return self._keys


NO_KEYS: Final = Texts(None)
"""For processes and tests without a key file."""


async def follow_keys(process: Process[S]) -> CustomerKeys | None:
    """Follow the keys of customers until the process stops; None without a key file."""
    file = process.settings.key_file
    if file is None:
        return None

    async def start() -> CustomerKeys:
        keys = CustomerKeys(process.bus, FileWrappingKeys(file))
        await keys.start()
        return keys

    keys = await retry_start(start)
    process.spawn(keys.run())
    return keys
