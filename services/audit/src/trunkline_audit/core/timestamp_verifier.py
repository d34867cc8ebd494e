"""Checks the timestamps of an export of Trunkline's audit trail, without Trunkline: for Python 3.9 or later.

    python verify_timestamps.py TIMESTAMPS EXPORT --ca FILE

TIMESTAMPS and EXPORT come from `trunkline audit export`; FILE has the certificates of the authorities that you trust,
in PEM. Needs the packages `cryptography` and `rfc3161-client`. Exit status 0: no fault; 1: faults, one to a line; 2:
unusable input. `verify.py` checks the heads and the records.

What is checked: each token is the reply of an authority whose certificate leads to one that you trust (RFC 3161), and
covers the text of a head, which is in the export with that root. So the head existed at the time of the token.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def signed_text(head: dict[str, Any]) -> bytes:
    """Return the text of a head, which its signature covers too."""
    root = base64.b64encode(bytes.fromhex(head["root"])).decode()
    return f"trunkline head 1\n{head['log']}\n{head['size']}\n{root}\n{head['at']}\n".encode()


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file, one to a line."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def check_timestamps(
    timestamps: Iterable[dict[str, Any]], heads: Iterable[dict[str, Any]], authorities: bytes
) -> list[str]:
    """Return the faults; raise `ValueError` if the certificates or the packages cannot be used."""
    try:
        from cryptography import x509  # noqa: PLC0415 - named in the error
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response  # noqa: PLC0415 - same
    except ImportError as error:
        raise ValueError("timestamps cannot be checked: install cryptography and rfc3161-client") from error
    roots = x509.load_pem_x509_certificates(authorities)
    known = {head["size"]: head for head in heads}
    faults = []
    for entry in timestamps:
        size = entry["size"]
        head = known.get(size)
        if head is None or head["root"] != entry["root"]:
            faults.append(f"timestamp of {size} records: there is no such head")
            continue
        try:
            response = decode_timestamp_response(base64.b64decode(entry["token"], validate=True))
            builder = VerifierBuilder()
            for root in roots:
                builder = builder.add_root_certificate(root)
            builder.build().verify_message(response, signed_text(head))
        except (VerificationError, ValueError) as error:
            faults.append(f"timestamp of {size} records: {error}")
            continue
        at = int(response.tst_info.gen_time.timestamp())
        if at != entry["at"] // 1_000_000:
            faults.append(f"timestamp of {size} records: its time is not that of the token")
    return faults


def main() -> int:
    """Check the files named on the command line."""
    parser = argparse.ArgumentParser(description="Check the timestamps of an export of Trunkline's audit trail")
    parser.add_argument("timestamps")
    parser.add_argument("export")
    parser.add_argument("--ca", required=True, help="certificates of the authorities that you trust (PEM)")
    given = parser.parse_args()
    try:
        timestamps = list(read_lines(Path(given.timestamps)))
        sizes = {entry["size"] for entry in timestamps}
        export = read_lines(Path(given.export))
        heads = [entry for entry in export if entry["kind"] == "head" and entry["size"] in sizes]
        faults = check_timestamps(timestamps, heads, Path(given.ca).read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"verify_timestamps: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for fault in faults:
        print(fault)  # noqa: T201
    print(f"{len(timestamps)} timestamps: {f'{len(faults)} faults' if faults else 'no fault'}")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
