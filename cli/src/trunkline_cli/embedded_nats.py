"""Access to the embedded NATS of a running suite, by its data folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from trunkline_chassis.nats_security import NatsSecurity
from trunkline_supervisor.adapters.nats_credentials import credentials_folder, operator_url_file

from trunkline_cli.errors import CommandError


def embedded_nats(data_dir: Path, principal: str) -> tuple[str, NatsSecurity]:
    """Return the address, which changes with every start, and the credentials of a user.

    Raises `CommandError` if no suite has run in the folder, or if it is another account's.
    """
    try:
        address = urlsplit(operator_url_file(data_dir).read_text(encoding="utf-8-sig").strip())
        password = (credentials_folder(data_dir) / principal).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise CommandError(
            f"no suite runs in {data_dir}: {error.filename} cannot be read; name its data folder with --data-dir, "
            "or another server with TRUNKLINE_NATS_URL"
        ) from error
    return f"nats://{address.hostname}:{address.port}", NatsSecurity(user=principal, password=password)
