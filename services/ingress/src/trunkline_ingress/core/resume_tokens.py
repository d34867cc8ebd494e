"""Resume tokens: signed bearer tokens that permit to resume a conversation, verified without any stored state."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from trunkline_protocols.decoding import decode

from trunkline_ingress.core.identity import Identity


def sign(identity: Identity, secret: bytes) -> str:
    """Return the resume token of a conversation."""
    body = _text(msgspec.json.encode(identity))
    return f"{body}.{_text(_mac(body, secret))}"


def verify(token: str, secret: bytes) -> Identity | None:
    """Return the identity in a token, None if the token was not signed with this secret."""
    body, _, mac = token.partition(".")
    try:
        if not hmac.compare_digest(_bytes(mac), _mac(body, secret)):
            return None
        return decode(_bytes(body), Identity)
    except ValueError:
        return None


def _mac(body: str, secret: bytes) -> bytes:
    # Over the encoded text: two base64 texts may decode to the same bytes.
    return hmac.new(secret, body.encode(), hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
