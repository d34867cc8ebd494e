"""One supervised process: started, started again when it dies or must be replaced, stopped when asked."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter

from trunkline_supervisor.core.restarts import Restarts
from trunkline_supervisor.core.suite import ProcessSpec

_log: Final = structlog.get_logger(__name__)
_RESTARTS: Final = Counter("trunkline_process_restarts_total", "Processes started again", ["service", "instance"])

_PR_SET_PDEATHSIG: Final = 1


class Child:
    """A process that is kept alive until it is stopped or its pool gives up."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        environment: dict[str, str],
        log_dir: Path,
        prepare: Callable[[], object] = lambda: None,
        may_live: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`environment` is the whole one; output goes to a file of the instance's name in `log_dir`.

        `prepare` runs before every start, to clear away what a killed one left. `may_live` hears of every death, with
        its reason, and says whether there shall be another start.
        """
        self.spec = spec
        self._prepare = prepare
        self._may_live = may_live
        self.restarts = Restarts()
        self._environment = environment | spec.environment
        self._log_file = log_dir / f"{spec.instance}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self.stopping = False
        """Whether it has been asked to stop: then it is not started again."""
        self._started_at = 0.0
        self._replaced_for = ""

    @property
    def pid(self) -> int:
        """Its process id, 0 while it is not running."""
        return self._process.pid if self.running and self._process is not None else 0

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.returncode is None

    @property
    def running_s(self) -> float:
        """For how long it has been running."""
        return time.monotonic() - self._started_at

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self._log_file

    async def start(self) -> None:
        """Start it once, unless it shall stop."""
        async with self._starting:
            if self.stopping:
                return
            await asyncio.to_thread(self._prepare)
            with self._log_file.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self.spec.command,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C in the terminal is for the supervisor alone: it stops the others in order.
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            self._started_at = time.monotonic()

    async def keep_alive(self) -> None:
        """Wait for its death and start it again, until it is stopped or given up."""
        while not self.stopping:
            code = await self._process.wait() if self._process is not None else None
            if self.stopping:
                return
            reason = self._replaced_for or _ending(code)
            self._replaced_for = ""
            self.restarts = self.restarts.after_death(self.running_s)
            if not self._may_live(reason):
                return
            _RESTARTS.labels(self.spec.service, self.spec.instance).inc()
            _log.warning(
                "child.died",
                instance=self.spec.instance,
                reason=reason,
                again_in_s=round(self.restarts.delay_s, 2),
            )
            await asyncio.sleep(self.restarts.delay_s)
            await self.start()

    def replace(self, reason: str) -> None:
        """End it at once, frozen or not: it is started again like one that died."""
        if self.running and self._process is not None:
            self._replaced_for = reason
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Ask it to stop, and end it when it does not."""
        self.stopping = True
        async with self._starting:
            process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.Signals[self.spec.stop_signal])
        try:
            async with asyncio.timeout(self.spec.stop_timeout_s):
                await process.wait()
        except TimeoutError:
            _log.warning("child.killed", instance=self.spec.instance, after_s=self.spec.stop_timeout_s)
            process.kill()
            await process.wait()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _die_with_parent() -> None:
    """Have the kernel end the child when the supervisor itself is killed: nothing is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
