"""Ports of the gateway: model providers, delivery of deltas, and the spending that all gateways share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import msgspec
from trunkline_protocols.accounting import Usage
from trunkline_protocols.citations import Citation
from trunkline_protocols.completion import Complete
from trunkline_protocols.spending import Spent
from trunkline_protocols.tool_steps import ToolCall
from trunkline_protocols.turn import Delta

Emit: TypeAlias = Callable[[str], Awaitable[None]]
"""Receives the next piece of the text."""

SendDelta: TypeAlias = Callable[[str, Delta], Awaitable[None]]
"""Publishes a delta to an ingress; raises `BusError`."""


class ProviderError(Exception):
    """A provider could not complete the text."""

    quotes_input = True
    """Providers repeat parts of the prompt in their errors."""

    def __init__(
        self, code: str, message: str, *, retryable: bool = True, retry_after_s: float = 0.0, status: int = 0
    ) -> None:
        """Describe a failure; `retryable` is true if another provider, or a later attempt, may succeed.

        `code` is one of: connect, status, timeout, cut, malformed, empty, unoffered_call, cut_call, thoughts (the
        provider's fault); content_filter (the provider withdraws its text); overloaded, open (no request was sent);
        request (the request itself is wrong). `retry_after_s` is the provider's Retry-After, `status` its HTTP status,
        0 without one.
        """
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.status = status
        self.usage: Usage | None = None
        """Tokens and cost of the failed answer; None if they are not known."""


class Call(msgspec.Struct, frozen=True):
    """One call of one model."""

    request: Complete
    model: str
    prefix: str = ""
    """Text of an earlier attempt that the model continues; empty: it starts from the beginning."""


class ProviderResult(msgspec.Struct, frozen=True):
    """Metadata of a finished text; the text itself is the emitted pieces."""

    model: str
    usage: Usage = Usage()
    stop_reason: str = "stop"
    """A shared value of `core/stop_reasons.py`, or the provider's own word if it is unknown."""
    tool_calls: list[ToolCall] = []
    citations: list[Citation] | None = None
    """None: derived from the marks in the text."""
    abstained: bool = False
    first_token_ms: float = 0.0
    model_ms: float = 0.0
    """The provider's own time."""
    oddities: list[str] = []
    """Faults of the answer that did not harm it, by kind."""


class Provider(Protocol):
    """Completes texts."""

    @property
    def name(self) -> str:
        """Name in the configuration."""
        ...

    async def complete(self, call: Call, emit: Emit) -> ProviderResult:
        """Complete the text, emitting pieces as they arrive; raise `ProviderError` if that fails."""
        ...

    async def warm(self) -> None:
        """Open a connection in advance; failures are ignored, the first call reports them."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class SpendingStore(Protocol):
    """Distributes the spending of this process to all gateways."""

    async def publish(self, spent: Spent) -> None:
        """Publish one sum of this process; raise `BusError` if that fails."""
        ...
