"""CPU and memory of each host of a lab under load, then without one: ./just cluster-utilisation --lab FOLDER.

On the running lab of `./just cluster-test --keep FOLDER`. While customers write at a fixed rate, the cores and the
memory that each host takes are read from its processes; then one host loses its power, and those of the others are read
again. The rows are printed as a Markdown table. A host is taken to own an equal part of the machine's cores. The
customers run on the same machine, in no host. Exit status 1 if an accepted message was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.faults import running_lab, strike
from tests.cluster.lab import Lab, LabError
from tests.cluster.load import count_while

_SETTLED_AFTER_S: Final = 20.0
_LEFT_AFTER_S: Final = 30.0
"""Leases and slots of a lost host have moved, and the unanswered turns are done."""
_CPU_TICKS: Final = (
    """awk '{sub(/.*\\) /, ""); sum += $12 + $13 + $14 + $15} END {print sum}' /proc/[0-9]*/stat 2>/dev/null"""
)
"""Time of all processes of a host, and of their ended children, in clock ticks."""
_MEMORY_KIB: Final = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum}'"
"""Proportional set size of all processes of a host, which counts shared memory once."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a host in a phase."""

    phase: str
    host: str
    cores: float
    memory_mib: float


def main() -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(prog="cluster-utilisation", description=__doc__)
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=10.0, help="messages per second (%(default)s)")
    parser.add_argument("--conversations", type=int, default=600, help="open ones (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each phase (%(default)s)")
    options = parser.parse_args()
    lab = running_lab(options.lab)
    usages: list[Usage] = []
    phases = _measure(lab, usages, options.rate, options.seconds)
    report = asyncio.run(count_while(lab, phases, options.rate, conversations=options.conversations))
    _print_table(usages, len(lab.addresses))
    print(f"{report.accepted} messages, longest delay {report.max_delay_s:.1f} s, clean: {report.is_clean}")
    return 0 if report.is_clean else 1


async def _measure(lab: Lab, usages: list[Usage], rate: float, seconds: float) -> None:
    """Append the usage of all hosts, then that of the others after the loss of the last one, which comes back."""
    *_, lost = lab.addresses
    await asyncio.sleep(_SETTLED_AFTER_S)
    usages += await _sample(lab, f"{rate:g}/s, all hosts", list(lab.addresses), seconds)
    heal = await asyncio.to_thread(strike, lab, "kill", lost)
    try:
        await asyncio.sleep(_LEFT_AFTER_S)
        left = [host for host in lab.addresses if host != lost]
        usages += await _sample(lab, f"{rate:g}/s, without {lost}", left, seconds)
    finally:
        await asyncio.to_thread(heal)


async def _sample(lab: Lab, phase: str, hosts: list[str], seconds: float) -> list[Usage]:
    """Return the mean cores of the hosts over some seconds, and their memory at the end."""
    before = {host: await _number(lab, host, _CPU_TICKS) for host in hosts}
    started = time.monotonic()
    await asyncio.sleep(seconds)
    after = {host: await _number(lab, host, _CPU_TICKS) for host in hosts}
    available = (time.monotonic() - started) * os.sysconf("SC_CLK_TCK")
    return [
        Usage(phase, host, (after[host] - before[host]) / available, await _number(lab, host, _MEMORY_KIB) / 1024)
        for host in hosts
    ]


async def _number(lab: Lab, host: str, command: str) -> float:
    return float(await asyncio.to_thread(lab.run, host, command))


def _print_table(usages: list[Usage], hosts: int) -> None:
    own = (os.cpu_count() or 1) / hosts
    print(f"| load | host | cores | of its {own:.2f} | memory, GiB |\n|---|---|---:|---:|---:|")
    for usage in usages:
        share = f"{usage.cores / own:.0%}"
        print(f"| {usage.phase} | {usage.host} | {usage.cores:.2f} | {share} | {usage.memory_mib / 1024:.1f} |")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, TimeoutError) as error:
        sys.exit(f"cluster-utilisation: {error}")
