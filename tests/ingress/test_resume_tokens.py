"""Resume tokens."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign, verify
from trunkline_protocols.ids import ConversationId

SECRET = b"0123456789abcdef"
NOW, EXPIRES_AT = 1_000.0, 2_000.0
IDENTITY = Identity(
    conversation=ConversationId("cabc"), customer="Ada Lovelace ü", tenant="t", region="r", channel="web", locale="en"
)


def test_token_holds_the_identity() -> None:
    """It is verified without any stored state."""
    assert verify(sign(IDENTITY, SECRET, expires_at=EXPIRES_AT), SECRET, now=NOW) == IDENTITY


@given(st.text(max_size=300))
def test_arbitrary_text_is_rejected(text: str) -> None:
    """Without an exception."""
    assert verify(text, SECRET, now=NOW) is None


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_modified_token_is_rejected(position: int, character: str) -> None:
    """One different character suffices."""
    token = sign(IDENTITY, SECRET, expires_at=EXPIRES_AT)
    position %= len(token)
    if character in "=\n\r" or token[position] == character:
        return
    changed = token[:position] + character + token[position + 1 :]
    assert verify(changed, SECRET, now=NOW) in {None, IDENTITY}
    if position < token.index("."):
        assert verify(changed, SECRET, now=NOW) is None


def test_token_of_another_secret_is_rejected() -> None:
    """Secrets differ between installations."""
    assert verify(sign(IDENTITY, b"another-secret-of-16", expires_at=EXPIRES_AT), SECRET, now=NOW) is None


def test_expired_token_is_rejected() -> None:
    """From the second of its expiry on."""
    token = sign(IDENTITY, SECRET, expires_at=EXPIRES_AT)
    assert verify(token, SECRET, now=EXPIRES_AT - 1) == IDENTITY
    assert verify(token, SECRET, now=EXPIRES_AT) is None
