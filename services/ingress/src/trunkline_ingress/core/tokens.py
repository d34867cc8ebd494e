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
    tier: str = ""


def sign(identity: Identity, secret: bytes) -> str:
    """Make the token of a conversation."""
    body = _text(msgspec.json.encode(identity))
    return f"{body}.{_text(_mac(body, secret))}"


def verify(token: str, secret: bytes) -> Identity | None:
    """Return whose token it is, or None when it was not made with this secret."""
    body, _, mac = token.partition(".")
    try:
        if not hmac.compare_digest(_bytes(mac), _mac(body, secret)):
            return None
        return msgspec.json.decode(_bytes(body), type=Identity)
    except (ValueError, msgspec.DecodeError):
        return None


def _mac(body: str, secret: bytes) -> bytes:
    # Over the text, not over what it decodes to: two texts may decode to the same bytes.
    return hmac.new(secret, body.encode(), hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
