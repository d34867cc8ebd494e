"""Keys of customers in KV CUSTOMER_KEYS, and their erasures in stream ERASURES.

A customer's texts are encrypted with one key. If it is destroyed, the texts are erased, wherever a copy of them is. An
erasure is stored before its key is destroyed, and its key is never used again, even if a backup brings it back.
"""

from __future__ import annotations

import hashlib
from typing import Final

from trunkline_protocols.decoding import ValidationError
from trunkline_protocols.ids import InvalidIdError, token
from trunkline_protocols.wire import Wire

_HASH_CHARACTERS: Final = 32
_FINGERPRINT_CHARACTERS: Final = 16


class CustomerKey(Wire, frozen=True, kw_only=True, tag="customer.key"):
    """The key of a customer, encrypted by a wrapping key that is kept elsewhere."""

    id: str
    """See `key_id`."""
    wrapped: bytes
    wrapped_by: str
    """Fingerprint of the wrapping key."""
    created_at: float
    """Unix seconds."""


class CustomerErased(Wire, frozen=True, kw_only=True, tag="customer.erased"):
    """A customer's key is destroyed: the receipt, which names the customer by the hash of the id alone."""

    key: str
    """Id of the destroyed key."""
    tenant: str
    customer: str
    """Hash of the tenant and the id, as in KV CUSTOMERS."""
    fingerprint: str
    """First characters of the hash of the destroyed key."""
    operator: str
    """Name of the operator's key; empty for the shared token."""
    at: float
    """Unix seconds."""


def hash_of(tenant: str, customer: str) -> str:
    """Return the hash by which KV CUSTOMERS and CUSTOMER_KEYS name a customer."""
    return hashlib.sha256(f"{tenant}\0{customer}".encode()).hexdigest()[:_HASH_CHARACTERS]


def fingerprint_of(secret: bytes) -> str:
    """Return the first characters of the hash of a key, which tell it from others and reveal nothing of it."""
    return hashlib.sha256(b"trunkline key 1\n" + secret).hexdigest()[:_FINGERPRINT_CHARACTERS]


def key_id(customer: str, fingerprint: str) -> str:
    """Return the id of a key: the hash of its customer and its fingerprint."""
    return f"{customer}-{fingerprint}"


def parse_key_id(key: str) -> tuple[str, str]:
    """Return hash and fingerprint of an id; raise `DecodeError` for anything else."""
    customer, _, fingerprint = key.partition("-")
    try:
        return token(customer, "customer"), token(fingerprint, "fingerprint")
    except InvalidIdError:
        raise ValidationError("the id of a key is invalid - at `$.key`") from None
