"""One supervised process: started, watched, started again when it dies, stopped when asked."""

from __future__ import annotations

import asyncio
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
    """A process that is kept alive until it is stopped."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        environment: dict[str, str],
        log_dir: Path,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """`environment` is the whole one; output goes to a file of the instance's name in `log_dir`.

        `prepare` runs before every start, to clear away what a killed one left.
        """
        self.spec = spec
        self._prepare = prepare
        self.restarts = Restarts()
        self._environment = environment | spec.environment
        self._log_file = log_dir / f"{spec.instance}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Its process id, 0 while it is not running."""
        return self._process.pid if self.running and self._process is not None else 0

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.returncode is None

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self._log_file

    async def start(self) -> None:
        """Start it once."""
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

    async def keep_alive(self) -> None:
        """Wait for its death and start it again, until it is stopped."""
        while not self._stopping:
            started = time.monotonic()
            code = await self._process.wait() if self._process is not None else None
            if self._stopping:
                return
            self.restarts = self.restarts.after_death(time.monotonic() - started)
            _RESTARTS.labels(self.spec.service, self.spec.instance).inc()
            _log.warning(
                "child.died", instance=self.spec.instance, code=code, again_in_s=round(self.restarts.delay_s, 2)
            )
            await asyncio.sleep(self.restarts.delay_s)
            if not self._stopping:
                await self.start()

    async def stop(self) -> None:
        """Ask it to stop, and end it when it does not."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.Signals[self.spec.stop_signal])
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_timeout_s)
        except TimeoutError:
            _log.warning("child.killed", instance=self.spec.instance, after_s=self.spec.stop_timeout_s)
            process.kill()
            await process.wait()


def _die_with_parent() -> None:
    """Have the kernel end the child when the supervisor itself is killed: nothing is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
