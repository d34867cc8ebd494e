"""Faults of processes: kill, freeze, stop. Faults of connections are in `tcp_proxy`, of disks in `disk`."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Final, Literal

from tests.support.suite import Suite

FaultKind = Literal["kill", "freeze", "stop"]

SIGNALS: Final = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "stop": signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault of one process; `at` is by the monotonic clock, in seconds."""

    kind: FaultKind
    service: str
    instance: str
    at: float


def inject(suite: Suite, kind: FaultKind, instance: str, service: str) -> InjectedFault | None:
    """Inject a fault; return None if the process is not running."""
    pid = suite.pid(instance)
    if not pid:
        return None
    try:
        os.kill(pid, SIGNALS[kind])
    except ProcessLookupError:
        return None
    return InjectedFault(kind, service, instance, time.monotonic())


class FaultSchedule:
    """Chooses the next fault at random: every service is equally likely, however many processes it has."""

    def __init__(self, seed: int, *, services: tuple[str, ...], kinds: tuple[FaultKind, ...]) -> None:
        """The same seed makes the same choices."""
        self._rng = random.Random(seed)  # noqa: S311 - a choice of faults, not secrets
        self._services = services
        self._kinds = kinds

    def inject_next(self, suite: Suite) -> InjectedFault | None:
        """Inject the next fault; return None if its service has no running process."""
        service, kind = self._rng.choice(self._services), self._rng.choice(self._kinds)
        instances = sorted(name for name, process in suite.status().items() if process["service"] == service)
        share = self._rng.random()
        if not instances:
            return None
        return inject(suite, kind, instances[int(share * len(instances))], service)
