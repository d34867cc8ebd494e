"""Plan of a load, and the share of it that one generator process takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from trunkline_cli.bench.load.core.profile import Phase
from trunkline_cli.bench.load.core.schedule import Arrivals

OnRefusal = Literal["drop", "retry"]


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A load on a suite, or the share of one process: `process` of `processes`."""

    conversations: int
    """Open conversations, of all processes."""
    phases: Sequence[Phase]
    arrivals: Arrivals = "poisson"
    texts: list[list[str]]
    """Texts of each simulated customer."""
    is_replay: bool = False
    """Whether a customer sends its texts in order and ends, or chooses among them at random."""
    seed: int = 1
    active: int = 0
    """Conversations that send turns, 0 for all; the others are open and silent."""
    warm_up: int = 0
    """Turns of each active conversation before the load, which are not counted."""
    on_refusal: OnRefusal = "drop"
    max_traces: int = 0
    """Conversations whose traces are read for the model's time; 0 for all."""
    ingresses: Sequence[str] = ()
    """Further addresses of the suite, used in turn."""
    sources: Sequence[str] = ()
    """Local addresses to connect from, used in turn; empty: the operating system chooses."""
    processes: int = 1
    process: int = 0

    def share(self, process: int) -> LoadPlan:
        """Return the plan of one process; a replay's conversations are distributed."""
        texts = self.texts[process :: self.processes] if self.is_replay else self.texts
        return msgspec.structs.replace(self, process=process, texts=texts or self.texts)

    @property
    def numbers(self) -> range:
        """Numbers of the conversations that this process opens."""
        return range(self.process, self.conversations, self.processes)

    def is_active(self, number: int) -> bool:
        """Whether a conversation sends turns."""
        return not self.active or number < self.active

    @property
    def traces(self) -> int | None:
        """Number of traces that this process reads; None for all."""
        return -(-self.max_traces // self.processes) if self.max_traces else None
