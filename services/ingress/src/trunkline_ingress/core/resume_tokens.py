"""Resume tokens: signed bearer tokens that permit to resume a conversation, verified without any stored state.

A token holds the conversation's identity, its customer and tenant included, and the time when it expires.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from trunkline_protocols.decoding import decode

from trunkline_ingress.core.identity import Identity


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    identity: Identity
    expires_at: float


def sign(identity: Identity, secret: bytes, *, expires_at: float) -> str:
    """Return the resume token of a conversation; `expires_at` in Unix seconds."""
    body = _text(msgspec.json.encode(_Body(identity=identity, expires_at=expires_at)))
    return f"{body}.{_text(_mac(body, secret))}"


def verify(token: str, secret: bytes, *, now: float) -> Identity | None:
    """Return the identity in a token, None if the token has expired or was not signed with this secret."""
    body, _, mac = token.partition(".")
    try:
        if not hmac.compare_digest(_bytes(mac), _mac(body, secret)):
            return None
        signed = decode(_bytes(body), _Body)
    except ValueError:
        return None
    return signed.identity if now < signed.expires_at else None


def _mac(body: str, secret: bytes) -> bytes:
    # Over the encoded text: two base64 texts may decode to the same bytes.
    return hmac.new(secret, body.encode(), hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
