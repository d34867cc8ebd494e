"""Draw an NKEY per service on the control host, and print the accounts of nats-server with their least rights.

    python accounts.py FOLDER REGION

Seeds are kept in FOLDER as `<principal>.seed` with mode 0600 and are drawn once; delete one to replace it. The rights
are those of the permission table (docs/messages.md#permissions). Prints a JSON object with `accounts`, the block of the
server's configuration, which holds public keys only, and the list `drawn`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import nkeys
from trunkline_protocols.permissions import PRINCIPALS, permissions

_SYSTEM: Final = "system"
_SITES: Final = "sites"
"""User of the account that a link between two sites carries, which has no streams and no message of Trunkline."""


def main(folder: Path, region: str) -> dict[str, object]:
    """Return the accounts of one region and the names of the seeds that were drawn."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    drawn = [name for name in (*PRINCIPALS, _SYSTEM, _SITES) if _draw(folder / f"{name}.seed")]
    users = [
        {
            "nkey": _public_key(folder / f"{principal}.seed"),
            "permissions": {"publish": {"allow": list(table.publish)}, "subscribe": {"allow": list(table.subscribe)}},
        }
        for principal in PRINCIPALS
        for table in [permissions(principal, region=region)]
    ]
    accounts = {
        "TRUNKLINE": {"jetstream": "enabled", "users": users},
        "SITES": {"users": [{"nkey": _public_key(folder / f"{_SITES}.seed")}]},
        "SYS": {"users": [{"nkey": _public_key(folder / f"{_SYSTEM}.seed")}]},
    }
    return {"accounts": accounts, "drawn": drawn}


def _draw(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    return True


def _public_key(file: Path) -> str:
    pair = nkeys.from_seed(bytearray(file.read_bytes().strip()))
    return str(pair.public_key.decode())


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
