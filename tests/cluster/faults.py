"""Faults of hosts under load: ./just cluster-faults --lab FOLDER [--faults kill freeze cut] [--rate 20].

On the running lab of `./just cluster-test --keep FOLDER`. Each fault strikes each host in turn: `kill` takes its
power, `freeze` stops it for longer than the lease of the PostgreSQL primary, `cut` takes its network. Afterwards the
host comes back and the messages are counted. Exit status 1 if an accepted message was lost or doubled or the order
changed, by the account of the clients, of the log or of PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
import yaml
from trunkline_chassis.nats_security import NatsSecurity

from tests.cluster.lab import Lab, LabError
from tests.faults.customers import CustomerPool, Entry
from tests.faults.verifier import Report, verify

HostFault = Literal["kill", "freeze", "cut"]
FREEZE_S: Final = 30.0
"""The lease of the primary lasts 20 s."""
_BEFORE_S: Final = 5.0
_DOWN_S: Final = 25.0
_AFTER_S: Final = 15.0
_ANSWER_TIMEOUT_S: Final = 120.0
_CONVERSATIONS: Final = 60


class LabServers:
    """NATS and PostgreSQL of a lab, as the verifier reads them."""

    def __init__(self, lab: Lab) -> None:
        """`lab` is running."""
        self._lab = lab

    def nats_url(self) -> str:
        """Return the addresses of all brokers."""
        return ",".join(f"tls://{address}:4222" for address in self._lab.addresses.values())

    def postgres_dsn(self) -> str:
        """Return the addresses of all members, of which the writable one is taken."""
        password = (self._lab.folder / "secrets" / "postgres" / "owner").read_text(encoding="utf-8").strip()
        hosts = ",".join(f"{address}:5432" for address in self._lab.addresses.values())
        authority = self._lab.folder / "secrets" / "pki" / "ca.pem"
        options = f"target_session_attrs=primary&sslmode=verify-full&sslrootcert={authority}"
        return f"postgresql://trunkline:{password}@{hosts}/trunkline?{options}"

    def security(self) -> NatsSecurity:
        """Return the key of the operator, who may read everything."""
        secrets = self._lab.folder / "secrets"
        return NatsSecurity(nkey=secrets / "nats" / "operator.seed", ca=secrets / "pki" / "ca.pem")


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
    return 0 if is_clean else 1


def running_lab(folder: Path) -> Lab:
    """Return the lab whose hosts run already, by the name in its folder: faults must not strike another lab."""
    inventory = yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8"))
    lab = Lab(folder, name=inventory["all"]["vars"]["lab_name"])
    lab.addresses = {host: values["private_address"] for host, values in inventory["all"]["hosts"].items()}
    return lab


async def strike_under_load(lab: Lab, fault: HostFault, host: str, rate: float) -> Report:
    """Strike one host while customers write `rate` messages per second; return what became of the messages."""
    entry = Entry(
        tuple(f"https://{address}" for address in lab.addresses.values()),
        tls=ssl.create_default_context(cafile=str(lab.folder / "secrets" / "pki" / "ca.pem")),
        token=lab.token,
        heartbeat_s=2.0,
    )
    pool = CustomerPool(entry, _CONVERSATIONS, seed=1)
    async with asyncio.TaskGroup() as tasks:
        running = await pool.open(tasks)
        sending = tasks.create_task(pool.send_at_rate(rate, _BEFORE_S + _DOWN_S + _AFTER_S))
        await asyncio.sleep(_BEFORE_S)
        heal = await asyncio.to_thread(strike, lab, fault, host)
        await asyncio.sleep(FREEZE_S if fault == "freeze" else _DOWN_S)
        await asyncio.to_thread(heal)
        await sending
        await pool.wait_until_answered(_ANSWER_TIMEOUT_S)
        for task in running:
            task.cancel()
    await pool.close()
    servers = LabServers(lab)
    records = [customer.record for customer in pool.customers]
    return await verify(servers, records, [], security=servers.security())


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
        case "cut":
            lab.docker("network", "disconnect", lab.name, container)
            return lambda: lab.docker("network", "connect", "--ip", lab.addresses[host], lab.name, container)


if __name__ == "__main__":
    started = time.monotonic()
    try:
        status = main()
    except LabError as error:
        sys.exit(f"cluster-faults: {error}")
    print(f"cluster-faults: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s")
    sys.exit(status)
