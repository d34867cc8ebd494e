"""Supervised operating system processes: started, restarted after a death, stopped on request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from prometheus_client import Counter

from trunkline_supervisor.core.blueprint import ProcessSpec
from trunkline_supervisor.core.environments import own_environment
from trunkline_supervisor.core.restarts import Restarts

_log: Final = structlog.get_logger(__name__)
_RESTARTS: Final = Counter("trunkline_process_restarts_total", "Restarts of a process", ["service", "instance"])

_PR_SET_PDEATHSIG: Final = 1
_SERVERS: Final = frozenset({"nats", "postgres"})
"""On SIGHUP they read their configuration again."""
_LOG_MODE: Final = 0o640
_UMASK: Final = 0o077


class LocalLauncher:
    """Launches processes on this machine; the output of each goes to a file named after its instance."""

    def __init__(
        self,
        inherited: Mapping[str, str],
        log_dir: Path,
        *,
        named: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Each process gets those of the inherited variables that its service may have, and its specification's.

        `named` are further variables by service.
        """
        self._inherited = inherited
        self._log_dir = log_dir
        self._named = named or {}

    def create(
        self,
        spec: ProcessSpec,
        *,
        may_restart: Callable[[str], bool],
        prepare: Callable[[], object] = lambda: None,
    ) -> ChildProcess:
        """Create a child that is not started yet; see `ports.ProcessLauncher`."""
        own = own_environment(spec.service, self._inherited, named=self._named.get(spec.service, ()))
        return ChildProcess(
            spec,
            environment=own | spec.environment,
            log_file=self._log_dir / f"{spec.name}.log",
            may_restart=may_restart,
            prepare=prepare,
        )


class ChildProcess:
    """A process that is kept alive until it is stopped or its pool gives up."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        environment: dict[str, str],
        log_file: Path,
        may_restart: Callable[[str], bool],
        prepare: Callable[[], object],
    ) -> None:
        """Use `LocalLauncher` to create one."""
        self.spec = spec
        self.log_file = log_file
        self.restarts = Restarts()
        self.stopping = False
        self._environment = environment
        self._may_restart = may_restart
        self._prepare = prepare
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._started_at = 0.0
        self._replace_reason = ""

    @property
    def pid(self) -> int:
        """The process id, 0 while it is not running."""
        return self._process.pid if self.running and self._process is not None else 0

    @property
    def running(self) -> bool:
        """True while the process exists."""
        return self._process is not None and self._process.returncode is None

    @property
    def running_s(self) -> float:
        """Seconds since its last start."""
        return time.monotonic() - self._started_at

    def reopen_log(self) -> None:
        """Request it to open its log file again, if it is running."""
        if self.running and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def start(self) -> None:
        """Start it, unless it was requested to stop."""
        async with self._starting:
            if self.stopping:
                return
            await asyncio.to_thread(self._prepare)
            with open_log(self.log_file) as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self.spec.command,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C in the terminal reaches the supervisor alone, which stops the children in order.
                    start_new_session=True,
                    umask=_UMASK,
                    preexec_fn=_terminate_with_parent if self.spec.service in _SERVERS else _prepare_service,
                )
            self._started_at = time.monotonic()

    async def keep_alive(self) -> None:
        """Restart it after every death until it is stopped or given up."""
        while not self.stopping:
            status = await self._process.wait() if self._process is not None else None
            if self.stopping:
                return
            reason = self._replace_reason or _exit_reason(status)
            self._replace_reason = ""
            self.restarts = self.restarts.after_death(self.running_s)
            if not self._may_restart(reason):
                return
            _RESTARTS.labels(self.spec.service, self.spec.instance).inc()
            _log.warning(
                "child.died",
                instance=self.spec.instance,
                reason=reason,
                restart_in_s=round(self.restarts.delay_s, 2),
            )
            await asyncio.sleep(self.restarts.delay_s)
            await self.start()

    def replace(self, reason: str) -> None:
        """Kill it, which also ends a frozen process; it is restarted as after any other death."""
        if self.running and self._process is not None:
            self._replace_reason = reason
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Request it to stop; kill it after its stop timeout."""
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


def open_log(file: Path) -> BinaryIO:
    """Open a log for appending: its owner writes it, the owner's group may read it, no other account may."""
    log = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, _LOG_MODE), "ab")
    os.fchmod(log.fileno(), _LOG_MODE)
    return log


def _exit_reason(status: int | None) -> str:
    if status is not None and status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def _terminate_with_parent() -> None:
    """Have the kernel terminate the child when the supervisor itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prepare_service() -> None:
    """Ignore SIGHUP until the service handles it: by default it would end the process."""
    _terminate_with_parent()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
