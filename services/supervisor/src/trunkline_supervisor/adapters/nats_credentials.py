"""Users of the embedded nats-server: one per service with the rights of the permission table, drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_protocols.permissions import PRINCIPALS, permissions

from trunkline_supervisor.adapters.secret_file import load_or_create_secret, write_secret

SYSTEM_USER: Final = "system"
"""User of the system account, which has the figures of the servers and no messages."""

ROUTE_USER: Final = "route"
"""User of the connections between the servers of a cluster."""


@dataclass(frozen=True, slots=True, repr=False)
class NatsCredentials:
    """Passwords by user; the servers' configuration and each client get them from here."""

    passwords: dict[str, str]
    region: str

    def security(self, user: str) -> NatsSecurity:
        """Return the credentials of one user, for a connection."""
        return NatsSecurity(user=user, password=self.passwords[user])

    def environment(self, service: str) -> dict[str, str]:
        """Return the variables that a process of a service authenticates with."""
        if service not in self.passwords:
            return {}
        return {"TRUNKLINE_NATS_USER": service, "TRUNKLINE_NATS_PASSWORD": self.passwords[service]}

    def accounts(self) -> str:
        """Return the accounts of the servers' configuration; a user may do nothing beyond the table."""
        users = [
            {
                "user": principal,
                "password": self.passwords[principal],
                "permissions": {
                    "publish": {"allow": list(table.publish)},
                    "subscribe": {"allow": list(table.subscribe)},
                },
            }
            for principal in PRINCIPALS
            for table in [permissions(principal, region=self.region)]
        ]
        accounts = {
            "TRUNKLINE": {"jetstream": "enabled", "users": users},
            "SYS": {"users": [{"user": SYSTEM_USER, "password": self.passwords[SYSTEM_USER]}]},
        }
        # The configuration format of nats-server is a superset of JSON.
        return f"accounts: {msgspec.json.encode(accounts).decode()}\nsystem_account: SYS\n"


def load_nats_credentials(folder: Path, *, region: str) -> NatsCredentials:
    """Read the passwords below `folder`, and draw those that do not exist yet."""
    return NatsCredentials(
        {user: load_or_create_secret(folder / user) for user in (*PRINCIPALS, SYSTEM_USER, ROUTE_USER)}, region
    )


def credentials_folder(data_dir: Path) -> Path:
    """Return the folder with the password of each user of the embedded servers."""
    return data_dir / "secrets" / "nats"


def operator_url_file(data_dir: Path) -> Path:
    """Return the file with the read-only address of the embedded servers."""
    return data_dir / "secrets" / "nats-operator-url"


def write_operator_url(file: Path, credentials: NatsCredentials, address: str) -> None:
    """Write the read-only address for the NATS CLI, readable by its owner only; ports change with every start."""
    url = f"nats://operator:{credentials.passwords['operator']}@{address.removeprefix('nats://')}"
    write_secret(file, url)
