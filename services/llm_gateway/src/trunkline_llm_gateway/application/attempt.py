"""A completion in progress and one provider's attempt at it."""

from __future__ import annotations

import time

import msgspec
from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.application.completion_buffer import CompletionBuffer
from trunkline_llm_gateway.application.in_flight import Deadline
from trunkline_llm_gateway.core.routing import Candidate


class CompletionJob(msgspec.Struct, frozen=True):
    """A completion in progress: its request, the text so far and its deadline."""

    request: Complete
    buffer: CompletionBuffer
    deadline: Deadline


class Attempt(msgspec.Struct, frozen=True):
    """One provider's attempt at a completion."""

    candidate: Candidate
    job: CompletionJob
    prefix: str = ""
    """Text that it continues."""
    offset: int = 0
    """Characters written by earlier attempts."""
    started: float = msgspec.field(default_factory=time.perf_counter)

    @property
    def characters(self) -> int:
        """Return the number of characters it has written, if its pieces are forwarded."""
        return len(self.job.buffer.text) - self.offset
