"""Wrapping keys: they encrypt the keys of customers, and are kept outside of NATS.

A file holds one key a line, 64 hexadecimal digits: the first one encrypts, all of them decrypt. A key management
service takes its place as another implementation of `WrappingKeys`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from trunkline_protocols.customer_keys import fingerprint_of

from trunkline_chassis.errors import KeyUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

NONCE_BYTES: Final = 12
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class WrappedSecret:
    """An encrypted key, and the fingerprint of the key that encrypted it."""

    wrapped: bytes
    wrapped_by: str


class WrappingKeys(Protocol):
    """The keys that encrypt those of customers. Both methods raise `KeyUnavailableError`."""

    async def wrap(self, secret: bytes, context: bytes) -> WrappedSecret:
        """Encrypt a key, bound to a context."""
        ...

    async def unwrap(self, wrapped: WrappedSecret, context: bytes) -> bytes:
        """Decrypt a key."""
        ...

    @property
    def current(self) -> str:
        """Fingerprint of the key that encrypts."""
        ...


class FileWrappingKeys:
    """Implements `WrappingKeys` with a file, which is read again when it changes."""

    def __init__(self, file: Path) -> None:
        """Read the file; raises `KeyUnavailableError` if it holds no key."""
        self._file = file
        self._version: tuple[int, int] | None = None
        self._keys: dict[str, AESGCM] = {}
        self._read()

    @property
    def current(self) -> str:
        """Fingerprint of the first key of the file."""
        self._read()
        return next(iter(self._keys))

    async def wrap(self, secret: bytes, context: bytes) -> WrappedSecret:
        """Encrypt with the first key."""
        name = self.current
        nonce = os.urandom(NONCE_BYTES)
        return WrappedSecret(nonce + self._keys[name].encrypt(nonce, secret, context), name)

    async def unwrap(self, wrapped: WrappedSecret, context: bytes) -> bytes:
        """Decrypt with the key of the fingerprint."""
        self._read()
        key = self._keys.get(wrapped.wrapped_by)
        if key is None:
            raise KeyUnavailableError(f"the wrapping key {wrapped.wrapped_by} is not in {self._file}")
        nonce, ciphertext = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        try:
            return key.decrypt(nonce, ciphertext, context)
        except (InvalidTag, ValueError):
            raise KeyUnavailableError("a customer's key was changed, or belongs to another customer") from None

    def _read(self) -> None:
        """Read the file if it has changed; a file that holds no key leaves the known keys in use."""
        try:
            status = self._file.stat()
            version = (status.st_mtime_ns, status.st_size)
            if version == self._version:
                return
            lines = self._file.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            if self._keys:
                return
            reason = error.strerror if isinstance(error, OSError) else "not ASCII"
            raise KeyUnavailableError(f"cannot read {self._file}: {reason}") from error
        if not lines or not all(map(_KEY.fullmatch, lines)):
            if self._keys:
                return
            raise KeyUnavailableError(f"{self._file} must hold 64 hexadecimal digits a line")
        secrets = [bytes.fromhex(line) for line in lines]
        self._keys = {fingerprint_of(secret): AESGCM(secret) for secret in secrets}
        self._version = version
