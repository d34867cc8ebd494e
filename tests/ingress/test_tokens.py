"""Resume tokens."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_ingress.core.limits import TokenBucket
from trunkline_ingress.core.tokens import Identity, sign, verify
from trunkline_protocols.ids import ConversationId

SECRET = b"0123456789abcdef"
IDENTITY = Identity(
    conversation=ConversationId("cabc"), customer="Ada Lovelace ü", tenant="t", region="r", channel="web", locale="en"
)


def test_token_says_whose_conversation_it_is() -> None:
    """Nothing has to be stored to believe it."""
    assert verify(sign(IDENTITY, SECRET), SECRET) == IDENTITY


@given(st.text(max_size=300))
def test_anything_else_is_no_token(text: str) -> None:
    """Never an exception, never an identity."""
    assert verify(text, SECRET) is None


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_changed_token_is_no_token(position: int, character: str) -> None:
    """One character is enough."""
    token = sign(IDENTITY, SECRET)
    position %= len(token)
    if character in "=\n\r" or token[position] == character:
        return
    changed = token[:position] + character + token[position + 1 :]
    assert verify(changed, SECRET) in {None, IDENTITY}
    if position < token.index("."):
        assert verify(changed, SECRET) is None


def test_token_of_another_secret_is_no_token() -> None:
    """Secrets differ between installations."""
    assert verify(sign(IDENTITY, b"another-secret-of-16"), SECRET) is None


def test_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    """Two at once, then one a second."""
    bucket = TokenBucket(rate_per_s=1.0, burst=2, now=0.0)
    assert [bucket.take(0.0), bucket.take(0.0), bucket.take(0.0)] == [True, True, False]
    assert [bucket.take(1.0), bucket.take(1.1)] == [True, False]
