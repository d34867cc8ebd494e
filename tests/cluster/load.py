"""Customers of a lab, and the account of their messages by clients, log and PostgreSQL."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

from trunkline_chassis.nats_security import NatsSecurity

from tests.cluster.lab import Lab
from tests.faults.customers import CustomerPool, Entry
from tests.faults.verifier import Report, verify

_CONVERSATIONS: Final = 60
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 15.0
_MAX_DURATION_S: Final = 900.0
_ANSWER_TIMEOUT_S: Final = 120.0


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
        return self._lab.postgres_dsn()

    def key_file(self) -> Path:
        """Return the wrapping key of the customers' texts."""
        return self._lab.key_file

    def security(self) -> NatsSecurity:
        """Return the key of the operator, who may read everything."""
        secrets = self._lab.folder / "secrets"
        return NatsSecurity(nkey=secrets / "nats" / "operator.seed", ca=secrets / "pki" / "ca.pem")


def entry_of(lab: Lab) -> Entry:
    """Return the way of customers through the HAProxies of all hosts."""
    return Entry(
        tuple(f"https://{address}" for address in lab.addresses.values()),
        tls=ssl.create_default_context(cafile=str(lab.folder / "secrets" / "pki" / "ca.pem")),
        token=lab.token,
        heartbeat_s=2.0,
    )


async def count_while(
    lab: Lab, action: Coroutine[object, object, None], rate: float, *, conversations: int = _CONVERSATIONS
) -> Report:
    """Do something while customers write `rate` messages per second; return what became of the messages."""
    pool = CustomerPool(entry_of(lab), conversations, seed=1)
    async with asyncio.TaskGroup() as tasks:
        running = await pool.open(tasks)
        sending = tasks.create_task(pool.send_at_rate(rate, _MAX_DURATION_S))
        await asyncio.sleep(_BEFORE_S)
        await action
        await asyncio.sleep(_AFTER_S)
        sending.cancel()
        await pool.wait_until_answered(_ANSWER_TIMEOUT_S)
        for task in running:
            task.cancel()
    await pool.close()
    servers = LabServers(lab)
    records = [customer.record for customer in pool.customers]
    return await verify(servers, records, [], security=servers.security())
