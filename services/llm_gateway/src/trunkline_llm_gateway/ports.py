"""What the gateway needs from a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from trunkline_protocols.completion import Complete
from trunkline_protocols.turn import Citation, Usage

Emit: TypeAlias = Callable[[str], Awaitable[None]]
"""Takes the next piece of the text."""


class ProviderError(Exception):
    """A provider could not write the text; `retryable` says whether another one, or a later try, makes sense."""

    def __init__(self, code: str, message: str, *, retryable: bool = True) -> None:
        """`code` is one of: connect, status, timeout, cut, malformed, overloaded."""
        super().__init__(message)
        self.code = code
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Written:
    """A whole text; the pieces that were emitted make it up."""

    text: str
    model: str
    citations: list[Citation] = field(default_factory=list)
    abstained: bool = False
    usage: Usage = field(default_factory=Usage)
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The provider's own time."""


class Provider(Protocol):
    """Writes texts."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    async def write(self, order: Complete, emit: Emit) -> Written:
        """Write the answer, emitting pieces as they come; raises `ProviderError`."""
        ...

    async def close(self) -> None:
        """Give connections free."""
        ...
