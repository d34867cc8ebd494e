"""Resume tokens: who holds one may go on with the conversation. Signed, so that nothing has to be stored."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from trunkline_protocols.ids import ConversationId


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose conversation it is: everything about it that the ingress must know to take a message."""

    conversation: ConversationId
    customer: str
    tenant: str
    region: str
    channel: str
    locale: str


def sign(identity: Identity, secret: bytes) -> str:
    """Make the token of a conversation."""
    body = msgspec.json.encode(identity)
    return f"{_text(body)}.{_text(_mac(body, secret))}"


def verify(token: str, secret: bytes) -> Identity | None:
    """Return whose token it is, or None when it was not made with this secret."""
    body_text, _, mac_text = token.partition(".")
    try:
        body, mac = _bytes(body_text), _bytes(mac_text)
        if not hmac.compare_digest(mac, _mac(body, secret)):
            return None
        return msgspec.json.decode(body, type=Identity)
    except (ValueError, msgspec.DecodeError):
        return None


def _mac(body: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
