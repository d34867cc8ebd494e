"""Faults of hosts under load: ./just cluster-faults --lab FOLDER [--faults kill freeze cut] [--rate 20].

On the running lab of `./just cluster-test --keep FOLDER`. Each fault strikes each host in turn: `kill` takes its
power, `freeze` stops it for longer than the lease of the PostgreSQL primary, `cut` takes its network, `deaf` lets it
send but not receive, `mute` receive but not send, `full` leaves no room on its disk, `lost` takes its power and its
disk, so that an empty host is installed in its place. Afterwards the host comes back and the messages are counted. Exit
status 1 if an accepted message was lost or doubled or the order changed, by the account of the clients, of the log or
of PostgreSQL, or if a host does not answer afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
import yaml

from tests.cluster.lab import ANSWER_WITHIN_S, QUESTION, Lab, LabError
from tests.cluster.load import count_while
from tests.faults.disk import Disk
from tests.faults.verifier import Report

HostFault = Literal["kill", "freeze", "cut", "deaf", "mute", "full", "lost"]
FREEZE_S: Final = 30.0
"""The lease of the primary lasts 20 s."""
_DOWN_S: Final = 25.0
_INSTALL_TIMEOUT_S: Final = 600.0


def main() -> int:
    """Run the matrix; return the exit status."""
    parser = argparse.ArgumentParser(prog="cluster-faults", description=__doc__)
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--faults", nargs="+", choices=get_args(HostFault), default=list(get_args(HostFault)))
    parser.add_argument("--hosts", nargs="+", help="by default all")
    parser.add_argument("--rate", type=float, default=20.0)
    options = parser.parse_args()
    lab = running_lab(options.lab)
    is_clean = True
    for fault in options.faults:
        for host in options.hosts or lab.addresses:
            report = asyncio.run(strike_under_load(lab, fault, host, options.rate))
            figures = {"fault": fault, "host": host, "rate": options.rate, "clean": report.is_clean} | asdict(report)
            print(msgspec.json.encode(figures).decode(), flush=True)
            is_clean &= report.is_clean
            for each in lab.addresses:
                lab.ask_until_answered(each, QUESTION, within_s=ANSWER_WITHIN_S)
    return 0 if is_clean else 1


def running_lab(folder: Path) -> Lab:
    """Return the lab whose hosts run already, by the name in its folder: faults must not strike another lab."""
    inventory = yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8"))
    lab = Lab(folder, name=inventory["all"]["vars"]["lab_name"])
    lab.addresses = {host: values["private_address"] for host, values in inventory["all"]["hosts"].items()}
    return lab


async def strike_under_load(lab: Lab, fault: HostFault, host: str, rate: float) -> Report:
    """Strike one host while customers write `rate` messages per second; return what became of the messages."""

    async def strike_and_heal() -> None:
        heal = await asyncio.to_thread(strike, lab, fault, host)
        await asyncio.sleep(FREEZE_S if fault == "freeze" else _DOWN_S)
        await asyncio.to_thread(heal)

    return await count_while(lab, strike_and_heal(), rate)


def strike(lab: Lab, fault: HostFault, host: str) -> Callable[[], object]:
    """Inject a fault; return the function that ends it."""
    container = lab.container(host)
    match fault:
        case "kill":
            lab.docker("kill", container)
            return lambda: lab.docker("start", container)
        case "freeze":
            lab.docker("pause", container)
            return lambda: lab.docker("unpause", container)
        case "deaf" | "mute":
            rule = "INPUT ! -i lo -j DROP" if fault == "deaf" else "OUTPUT ! -o lo -j DROP"
            lab.run(host, f"iptables --append {rule}")
            return lambda: lab.run(host, f"iptables --delete {rule}")
        case "full":
            disk = Disk(lab.disk(host))
            disk.fill()
            return disk.clear
        case "lost":
            lab.docker("kill", container)
            return lambda: _replace(lab, host)
        case "cut":
            lab.docker("network", "disconnect", lab.name, container)
            return lambda: lab.docker("network", "connect", "--ip", lab.addresses[host], lab.name, container)


def _replace(lab: Lab, host: str) -> None:
    lab.replace_host(host)
    lab.play("site.yml", timeout_s=_INSTALL_TIMEOUT_S)


if __name__ == "__main__":
    started = time.monotonic()
    try:
        status = main()
    except LabError as error:
        sys.exit(f"cluster-faults: {error}")
    print(f"cluster-faults: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s")
    sys.exit(status)
