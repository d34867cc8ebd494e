"""What can happen to processes: kill, freeze, stop. What can happen to the network is in `wire`."""

from __future__ import annotations

import contextlib
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
class Fault:
    """One deed: what was done to whom, when (monotonic)."""

    deed: FaultKind
    service: str
    instance: str
    at: float


def commit(suite: Suite, deed: FaultKind, instance: str, service: str = "") -> Fault | None:
    """Do it; None when the process is away already."""
    pid = suite.pid(instance)
    if not pid:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, SIGNALS[deed])
        return Fault(deed, service or instance.rpartition("-")[0], instance, time.monotonic())
    return None


class FaultSchedule:
    """Chooses victims: every service is as likely, however many processes it has."""

    def __init__(self, seed: int, *, services: tuple[str, ...], deeds: tuple[FaultKind, ...]) -> None:
        """The same seed chooses the same."""
        self._random = random.Random(seed)  # noqa: S311 - fate, not secrets
        self._services = services
        self._deeds = deeds

    def inject(self, suite: Suite) -> Fault | None:
        """Commit the next fault."""
        service, deed = self._random.choice(self._services), self._random.choice(self._deeds)
        instances = sorted(name for name, process in suite.status().items() if process["service"] == service)
        draw = self._random.random()
        if not instances:
            return None
        return commit(suite, deed, instances[int(draw * len(instances))], service)
