"""Reads a price file."""

from __future__ import annotations

from pathlib import Path

from trunkline_cli.capacity.core.prices import MAX_FILE_BYTES, NodeOffer, PriceError, PriceFile, parse_prices
from trunkline_cli.errors import CommandError

WITHOUT_PRICES = PriceFile(
    currency="",
    node=[
        NodeOffer(
            name="16 threads, 64 GiB",
            threads=16,
            memory_gib=64,
            disk_gib=1,
            network_mbit_per_s=10_000,
            month=0,
            disk_gib_month=0,
        )
    ],
)
"""A machine without a price and with as much storage as is needed, if there is no price file."""


def read_prices(path: Path | None) -> PriceFile:
    """Return the offers of a file; raises `CommandError` with the file's name."""
    if path is None:
        return WITHOUT_PRICES
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CommandError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
        return parse_prices(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: not UTF-8") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except PriceError as error:
        raise CommandError(f"{path}: {error}") from error
