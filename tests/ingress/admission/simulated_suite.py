"""A simulated suite behind one ingress or several: queues of known capacity, models, heartbeats; time is simulated."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from trunkline_ingress.core.admission import AdmissionController, AdmissionPolicy, SuiteLoad, TurnRefused
from trunkline_protocols.ids import ConversationId

HEARTBEAT_S = 1.0
_BASE_S = 0.02
_THAW_POLL_S = 0.05
_FIRST_TEXT = 0.3
"""Share of a model's time after which its text begins."""


@dataclass(frozen=True)
class Source:
    """Arrivals of one tenant: `rate` turns per second between two times, Poisson."""

    rate: float
    start_s: float
    end_s: float
    tenant: str = ""


@dataclass
class Turn:
    """A turn of the simulation; times in simulated seconds."""

    conversation: ConversationId
    tenant: str
    ingress: int
    arrived_at: float
    retry_after_s: float = 0.0
    """More than 0 if it was refused."""
    answered_at: float = 0.0
    model_s: float = 0.0

    @property
    def is_admitted(self) -> bool:
        return not self.retry_after_s

    @property
    def overhead_s(self) -> float:
        assert self.answered_at, "an admitted turn is not answered"
        return self.answered_at - self.arrived_at - self.model_s


class SimulatedSuite:
    """One server of `capacity` turns per second, then a model with `model_slots`, then the answer.

    `capacity` is a function of time; a turn costs an exponentially distributed share of it. If all slots are taken,
    turns wait for a permit as in agents and gateways.
    """

    def __init__(
        self,
        capacity: Callable[[float], float],
        *,
        model_s: Callable[[random.Random], float] = lambda _: 0.0,
        model_slots: int = 1_000_000,
        ingresses: int = 1,
        policy: AdmissionPolicy | None = None,
        seed: int = 1,
        retries: bool = False,
    ) -> None:
        """If `retries`, a refused turn is offered again after the time that its refusal named."""
        self._capacity = capacity
        self._model_s = model_s
        self._free_slots = model_slots
        self._retries = retries
        self._rng = random.Random(seed)  # noqa: S311 - a simulation
        self.ingresses = [AdmissionController(policy or AdmissionPolicy()) for _ in range(ingresses)]
        for ingress in self.ingresses:
            ingress.load = SuiteLoad(ingresses)
        self.turns: list[Turn] = []
        self.max_in_flight = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self._now = 0.0
        self._server: deque[Turn] = deque()
        self._is_serving = False
        self._permits: deque[tuple[float, Turn]] = deque()
        self._at_model = 0

    @property
    def in_flight(self) -> int:
        """Number of turns in flight."""
        return sum(ingress.turns.count.total for ingress in self.ingresses)

    def run(self, sources: Sequence[Source], *, until_s: float) -> list[Turn]:
        """Run and return all turns; the admitted ones are answered."""
        for source in sources:
            self._at(source.start_s, partial(self._next_arrival, source))
        self._at(0.0, self._beat)
        while self._events[0][0] <= until_s or self.in_flight:
            self._now, _, act = heapq.heappop(self._events)
            act()
        return self.turns

    def offer(self, tenant: str = "") -> None:
        """Offer a turn now."""
        number = self._rng.randrange(len(self.ingresses))
        ingress = self.ingresses[number]
        turn = Turn(ConversationId(f"c{len(self.turns)}"), tenant, number, self._now)
        self.turns.append(turn)
        decision = ingress.decide(tenant, self._now, rng=self._rng.random())
        if isinstance(decision, TurnRefused):
            turn.retry_after_s = decision.retry_after_s
            if self._retries:
                self._at(self._now + turn.retry_after_s, partial(self.offer, tenant))
        else:
            ingress.begin(decision, turn.conversation, 1, self._now)
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._server.append(turn)
            self._serve()

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def _next_arrival(self, source: Source) -> None:
        arrives_at = self._now + self._rng.expovariate(source.rate)
        if arrives_at < source.end_s:
            self._at(arrives_at, partial(self._arrive, source))

    def _arrive(self, source: Source) -> None:
        self._next_arrival(source)
        self.offer(source.tenant)

    def _beat(self) -> None:
        """Publish heartbeats: an ingress reads them up to an interval later, and adapts its limit meanwhile."""
        in_flight = [ingress.turns.count.total for ingress in self.ingresses]
        oldest_s = max((self._now - since for since, _ in self._permits), default=0.0)
        for ingress, own in zip(self.ingresses, in_flight, strict=True):
            load = SuiteLoad(len(in_flight), sum(in_flight) - own, self._at_model, oldest_s)
            self._at(self._now + self._rng.random() * HEARTBEAT_S, partial(self._read, ingress, load))
        self._at(self._now + HEARTBEAT_S, self._beat)

    def _read(self, ingress: AdmissionController, load: SuiteLoad) -> None:
        ingress.load = load
        ingress.update(self._now)

    def _serve(self) -> None:
        if self._is_serving or not self._server:
            return
        self._is_serving = True
        capacity = self._capacity(self._now)
        if capacity > 0:
            self._at(self._now + self._rng.expovariate(capacity), self._served)
        else:
            self._at(self._now + _THAW_POLL_S, self._thaw)

    def _thaw(self) -> None:
        self._is_serving = False
        self._serve()

    def _served(self) -> None:
        self._is_serving = False
        turn = self._server.popleft()
        turn.model_s = self._model_s(self._rng)
        self._permits.append((self._now, turn))
        self._start_models()
        self._serve()

    def _start_models(self) -> None:
        while self._permits and self._free_slots:
            _, turn = self._permits.popleft()
            self._free_slots -= 1
            self._at_model += 1
            if turn.model_s:
                self._at(self._now + _FIRST_TEXT * turn.model_s, partial(self._write, turn))
            self._at(self._now + turn.model_s, partial(self._end_model, turn))

    def _write(self, turn: Turn) -> None:
        self.ingresses[turn.ingress].start(turn.conversation, self._now)

    def _end_model(self, turn: Turn) -> None:
        self._at_model -= 1
        self._free_slots += 1
        self._at(self._now + _BASE_S, partial(self._answer, turn))
        self._start_models()

    def _answer(self, turn: Turn) -> None:
        turn.answered_at = self._now
        self.ingresses[turn.ingress].settle(turn.conversation, 1, turn.model_s, self._now)


def overheads_s(turns: Sequence[Turn], *, after_s: float = 0.0) -> list[float]:
    """Return the overheads of the admitted turns that arrived from a time on, in order of size."""
    return sorted(turn.overhead_s for turn in turns if turn.is_admitted and turn.arrived_at >= after_s)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of ordered values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
