"""What the gateway needs from a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import msgspec
from trunkline_protocols.accounting import Usage
from trunkline_protocols.citations import Citation
from trunkline_protocols.completion import Complete, ToolCall

Emit: TypeAlias = Callable[[str], Awaitable[None]]
"""Takes the next piece of the text."""


class ProviderError(Exception):
    """A provider could not write the text."""

    def __init__(self, code: str, message: str, *, retryable: bool = True, retry_after_s: float = 0.0) -> None:
        """`retryable`: whether another provider, or a later try, makes sense.

        `code` is one of: connect, status, timeout, cut, malformed, empty (the provider's fault); overloaded, open (it
        was not asked); request (the order itself is wrong). `retry_after_s` is how long it asked to be left alone.
        """
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Call(msgspec.Struct, frozen=True):
    """One order to one model. `written` is the text that another one began and that this one goes on with."""

    request: Complete
    model: str
    written: str = ""


class ProviderResult(msgspec.Struct, frozen=True):
    """How a text ended; the pieces that were emitted are the text."""

    model: str
    usage: Usage = Usage()
    stop_reason: str = "stop"
    tool_calls: list[ToolCall] = []
    citations: list[Citation] | None = None
    """None: they follow from the marks in the text."""
    abstained: bool = False
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The provider's own time."""


class Provider(Protocol):
    """Writes texts."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    async def write(self, call: Call, emit: Emit) -> ProviderResult:
        """Write the answer, emitting pieces as they come; raises `ProviderError`."""
        ...

    async def warm(self) -> None:
        """Open a connection before it is needed; whatever goes wrong is told by the first call."""
        ...

    async def close(self) -> None:
        """Give connections free."""
        ...
