"""CPU and memory of the suite's processes, if they run on this machine."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

import aiohttp
import psutil
from trunkline_protocols import codec
from trunkline_protocols.presence import SUPERVISOR, SuiteStatus

from trunkline_cli.client import address, authorization, unreachable
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_MIB = 2**20


class SuiteUsage:
    """Resource usage of a suite by service; processes that have ended are not counted."""

    def __init__(self, processes: list[tuple[str, psutil.Process]]) -> None:
        """Measure these processes, each with the name of its service."""
        self._processes = processes

    def cpu_s(self) -> dict[str, float]:
        """Return user and system CPU seconds by service."""
        used: dict[str, float] = {}
        for service, process in self._processes:
            with contextlib.suppress(psutil.Error):
                seconds = _own_cpu_s(service, process)
                used[service] = used.get(service, 0.0) + seconds
                for child in _children(service, process):
                    # A backend that ends meanwhile is missing from this reading only.
                    with contextlib.suppress(psutil.NoSuchProcess):
                        used[service] += sum(child.cpu_times()[:2])
        return used

    def wakeups(self) -> dict[str, float]:
        """Return how often processes have been scheduled after they waited, by service."""
        found: dict[str, float] = {}
        for service, process in self._processes:
            with contextlib.suppress(psutil.Error):
                found[service] = found.get(service, 0.0) + process.num_ctx_switches().voluntary
        return found

    def rss_mib(self) -> dict[str, float]:
        """Return resident memory by service with its child processes, in MiB."""
        resident: dict[str, float] = {}
        for service, process in self._processes:
            with contextlib.suppress(psutil.Error):
                together = [process, *_children(service, process)]
                for each in together:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        used = _memory(each, is_shared=len(together) > 1) / _MIB
                        resident[service] = resident.get(service, 0.0) + used
        return {service: round(mib, 1) for service, mib in resident.items()}


async def read_suite_status(session: aiohttp.ClientSession, settings: ClientSettings) -> SuiteStatus:
    """Return the status of the suite; raise `CommandError` if it is not available."""
    headers = authorization(settings.operator_token)
    try:
        async with session.get(address(settings, "/v1/ops/status"), headers=headers) as response:
            raw = await response.read()
            if response.status != HTTPStatus.OK:
                raise CommandError(f"{settings.url}: status is not available: {response.status} {raw[:200]!r}")
    except aiohttp.ClientError as error:
        raise unreachable(settings, error) from error
    return codec.suite_status.decode(raw)


def usage_of(status: SuiteStatus) -> SuiteUsage:
    """Return the usage of the processes of a status; empty if the suite runs on another machine."""
    found = []
    for process in status.processes:
        try:
            found.append((process.service, psutil.Process(process.pid)))
        except psutil.Error:
            continue
    return SuiteUsage(found)


def _children(service: str, process: psutil.Process) -> list[psutil.Process]:
    """Return the child processes, such as the backends of PostgreSQL; those of the supervisor are listed themselves."""
    return [] if service == SUPERVISOR else process.children(recursive=True)


def _own_cpu_s(service: str, process: psutil.Process) -> float:
    """Return the CPU seconds of a process, with those of its children that have ended."""
    times = process.cpu_times()
    ended = 0.0 if service == SUPERVISOR else times.children_user + times.children_system
    return float(times.user + times.system + ended)


def _memory(process: psutil.Process, *, is_shared: bool) -> int:
    """Return resident bytes; of memory that processes share, each has its part if the system counts it."""
    if not is_shared:
        return int(process.memory_info().rss)
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", full.rss))
