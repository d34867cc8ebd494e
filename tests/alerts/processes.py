"""Faults of processes and hosts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from tests.alerts.monitor import INTERVAL_S, until
from tests.alerts.stage import NotPossibleError, Stage

_POLL_S: Final = 0.1
_DISK_BYTES: Final = 16 << 20


async def pid_of(stage: Stage, name: str) -> int:
    """Return the id of a running process, 0 without one."""
    try:
        return await asyncio.to_thread(stage.suite.pid, name)
    except (OSError, KeyError):
        return 0


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def strike_again(
    stage: Stage, name: str, number: signal.Signals, *, when: str = "", after_s: float = 0.0
) -> None:
    """Send a signal to a process and to each successor, until cancelled: some time after it has the state `when`."""
    struck = 0
    while True:
        with contextlib.suppress(OSError, KeyError):
            process = (await asyncio.to_thread(stage.suite.status))[name]
            if process["pid"] not in {0, struck} and when in {"", process["state"]}:
                struck = int(process["pid"])
                await asyncio.sleep(after_s)
                _signal(struck, number)
        await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def nothing(_: Stage) -> AsyncIterator[None]:
    """The suite itself has the fault."""
    yield


@asynccontextmanager
async def frozen_supervisor(stage: Stage) -> AsyncIterator[None]:
    """The supervisor, which serves the page of the node, is frozen."""
    os.kill(stage.suite.supervisor_pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stage.suite.supervisor_pid, signal.SIGCONT)


@asynccontextmanager
async def stopped_exporter(stage: Stage) -> AsyncIterator[None]:
    """The node exporter is stopped."""
    stage.monitor.stop_exporter()
    try:
        yield
    finally:
        stage.monitor.start_exporter()


@asynccontextmanager
async def hanging_start(stage: Stage) -> AsyncIterator[None]:
    """A process is killed, and its successor frozen before it serves a page."""
    before = await asyncio.to_thread(stage.suite.kill, "agents-2")
    successor = 0
    async with asyncio.timeout(30):
        while not successor:
            pid = await pid_of(stage, "agents-2")
            successor = pid if pid != before else 0
    _signal(successor, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(successor, signal.SIGCONT)


@asynccontextmanager
async def freezing_process(stage: Stage) -> AsyncIterator[None]:
    """A process freezes each time that it is ready, and Prometheus has seen it: that counts the starts it sees."""
    seen_after_s = 3 * INTERVAL_S
    async with _background(strike_again(stage, "agents-2", signal.SIGSTOP, when="ready", after_s=seen_after_s)):
        yield


@asynccontextmanager
async def crash_loop(stage: Stage) -> AsyncIterator[None]:
    """A process is killed each time that it runs, until its pool is given up."""
    async with _background(strike_again(stage, "audit-1", signal.SIGKILL)):
        yield


@asynccontextmanager
async def no_gateway(stage: Stage) -> AsyncIterator[None]:
    """Every gateway is killed each time that it runs, while customers ask."""
    async with AsyncExitStack() as stack:
        for name in ("llm_gateway-1", "llm_gateway-2"):
            await stack.enter_async_context(_background(strike_again(stage, name, signal.SIGKILL)))
        for _ in range(12):
            await stage.say(stack)
        yield


@asynccontextmanager
async def without_descriptors(stage: Stage) -> AsyncIterator[None]:
    """The limit of open files is what an ingress has open; it is raised again, as when customers leave."""
    pid = await asyncio.to_thread(stage.suite.pid, "ingress-2")
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds(), hard))
    await asyncio.sleep(5)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    yield


@asynccontextmanager
async def full_disk(stage: Stage) -> AsyncIterator[None]:
    """A file system of the host is nearly full: an image that is mounted, with a large file."""
    with _small_disk(stage.folder):
        yield


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, capture_output=True, timeout=60)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotPossibleError("a full disk needs mkfs.ext4 and the right to mount an image") from error
    try:
        free = os.statvfs(mounted)
        (mounted / "ballast").write_bytes(bytes(int(free.f_bavail * free.f_frsize * 0.97)))
        os.sync()
        yield
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True, timeout=60)


@asynccontextmanager
async def lost_server(stage: Stage) -> AsyncIterator[None]:
    """One of three NATS servers is frozen, and each successor."""
    async with _background(strike_again(stage, "nats-3", signal.SIGSTOP)):
        yield
    await _mended(stage)


@asynccontextmanager
async def lost_majority(stage: Stage) -> AsyncIterator[None]:
    """Two of three NATS servers are frozen, and each successor; the status needs NATS, so pids come from the system."""
    async with _background(_freeze_servers(stage, {"nats-2", "nats-3"})):
        yield
    await _mended(stage)


async def _freeze_servers(stage: Stage, names: set[str]) -> None:
    frozen: set[int] = set()
    try:
        while True:
            for child in psutil.Process(stage.suite.supervisor_pid).children():
                with contextlib.suppress(psutil.Error):
                    if child.pid not in frozen and any(f"/{name}/" in " ".join(child.cmdline()) for name in names):
                        _signal(child.pid, signal.SIGSTOP)
                        frozen.add(child.pid)
            await asyncio.sleep(_POLL_S)
    finally:
        for pid in frozen:
            _signal(pid, signal.SIGCONT)


async def _mended(stage: Stage) -> None:
    await until(lambda: bool(stage.suite.get("/v1/ops/status")["ready"]), "everything is ready", 120)
