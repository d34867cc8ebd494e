"""CPU and memory of the suite's processes, if they run on this machine."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

import aiohttp
import psutil
from trunkline_protocols import codec

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
                times = process.cpu_times()
                seconds = times.user + times.system + _children_cpu_s(service, process)
                used[service] = used.get(service, 0.0) + seconds
        return used

    def wakeups(self) -> dict[str, float]:
        """Return how often processes have been scheduled after they waited, by service."""
        found: dict[str, float] = {}
        for service, process in self._processes:
            with contextlib.suppress(psutil.Error):
                found[service] = found.get(service, 0.0) + process.num_ctx_switches().voluntary
        return found

    def rss_mib(self) -> dict[str, float]:
        """Return resident memory by service, in MiB."""
        resident: dict[str, float] = {}
        for service, process in self._processes:
            with contextlib.suppress(psutil.Error):
                resident[service] = resident.get(service, 0.0) + process.memory_info().rss / _MIB
        return {service: round(mib, 1) for service, mib in resident.items()}


async def find_processes(session: aiohttp.ClientSession, settings: ClientSettings) -> SuiteUsage:
    """Return the usage of the processes that `/v1/ops/status` lists; empty if the suite runs on another machine."""
    headers = authorization(settings.operator_token)
    try:
        async with session.get(address(settings, "/v1/ops/status"), headers=headers) as response:
            raw = await response.read()
            if response.status != HTTPStatus.OK:
                raise CommandError(f"{settings.url}: status is not available: {response.status} {raw[:200]!r}")
    except aiohttp.ClientError as error:
        raise unreachable(settings, error) from error
    status = codec.suite_status.decode(raw)
    found = []
    for process in status.processes:
        try:
            found.append((process.service, psutil.Process(process.pid)))
        except psutil.Error:
            continue
    return SuiteUsage(found)


def _children_cpu_s(service: str, process: psutil.Process) -> float:
    """Return the CPU seconds of child processes, for PostgreSQL; those of the supervisor are listed themselves."""
    if service == "supervisor":
        return 0.0
    return sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))
