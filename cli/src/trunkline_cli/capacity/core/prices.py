"""The price file of an operator: nodes with their size and their price per month. No price is part of Trunkline."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from trunkline_protocols.decoding import DecodeError, decode_toml

MAX_FILE_BYTES: Final = 1_000_000
_MAX_NODES: Final = 100


class PriceError(ValueError):
    """A price file that cannot be used; the message names the place and the reason."""


class NodeOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A machine: its size, and its price per month in the currency of the file."""

    name: str
    threads: int
    memory_gib: float
    disk_gib: float
    network_mbit_per_s: float
    month: float
    speed: float = 1.0
    """Speed of a thread compared with a core of the machine that was measured."""
    disk_gib_month: float | None = None
    """Price of a further GiB of storage per month; None: storage is that of the machine."""
    egress_gib: float = 0.0
    """Price of a GiB that is sent to customers."""


class PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offers to compare."""

    currency: str
    node: list[NodeOffer]


_LIMITS: Final = {
    "threads": (1, 4_096),
    "memory_gib": (0.5, 65_536),
    "disk_gib": (1, 10_000_000),
    "network_mbit_per_s": (1, 1_000_000),
    "month": (0, 10_000_000),
    "speed": (0.1, 10),
    "disk_gib_month": (0, 1_000),
    "egress_gib": (0, 1_000),
}


def parse_prices(text: str) -> PriceFile:
    """Return the offers of a price file; raises `PriceError`."""
    try:
        prices = decode_toml(text, PriceFile)
    except DecodeError as error:
        raise PriceError(str(error)) from error
    if not prices.node or len(prices.node) > _MAX_NODES:
        raise PriceError(f"between 1 and {_MAX_NODES} [[node]] are needed, there are {len(prices.node)}")
    _check_text("currency", prices.currency)
    names = [offer.name for offer in prices.node]
    for number, offer in enumerate(prices.node, start=1):
        place = f"[[node]] {number}"
        _check_text(f"{place}: name", offer.name)
        if names.index(offer.name) < number - 1:
            raise PriceError(f"{place}: the name {offer.name!r} is there twice")
        for key, (least, most) in _LIMITS.items():
            value = getattr(offer, key)
            if value is not None and not (math.isfinite(value) and least <= value <= most):
                raise PriceError(f"{place}: {key} must be from {least:g} to {most:g}, got {value:g}")
    return prices


def _check_text(place: str, text: str) -> None:
    if not text.strip() or len(text) > 80 or not text.isprintable():  # noqa: PLR2004 - a cell of a table
        raise PriceError(f"{place} must be a line of 1 to 80 characters")
