"""Resume tokens."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.core.resume_tokens import sign, verify
from trunkline_protocols.ids import ConversationId

SECRET = b"0123456789abcdef"
IDENTITY = Identity(
    conversation=ConversationId("cabc"), customer="Ada Lovelace ü", tenant="t", region="r", channel="web", locale="en"
)


def test_token_holds_the_identity() -> None:
    """It is verified without any stored state."""
    assert verify(sign(IDENTITY, SECRET), SECRET) == IDENTITY


@given(st.text(max_size=300))
def test_arbitrary_text_is_rejected(text: str) -> None:
    """Without an exception."""
    assert verify(text, SECRET) is None


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_modified_token_is_rejected(position: int, character: str) -> None:
    """One different character suffices."""
    token = sign(IDENTITY, SECRET)
    position %= len(token)
    if character in "=\n\r" or token[position] == character:
        return
    changed = token[:position] + character + token[position + 1 :]
    assert verify(changed, SECRET) in {None, IDENTITY}
    if position < token.index("."):
        assert verify(changed, SECRET) is None


def test_token_of_another_secret_is_rejected() -> None:
    """Secrets differ between installations."""
    assert verify(sign(IDENTITY, b"another-secret-of-16"), SECRET) is None
