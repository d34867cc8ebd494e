"""Durations and shares as an operator writes them."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ALL: Final = 100


def parse_duration(text: str) -> float:
    """Return the seconds of `90s`, `10m`, `2h` or `1d`; raise `ValueError` for anything else."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration, write for example 90s, 10m or 2h")
    return float(found[1]) * _SECONDS[found[2]]


def parse_shares(text: str) -> list[int]:
    """Return the percentages of `5,25,100`; raise `ValueError` unless each is greater than the one before."""
    shares = [int(part) for part in text.split(",") if re.fullmatch(r"\d{1,3}", part)]
    if len(shares) != len(text.split(",")) or sorted(set(shares)) != shares or not 1 <= shares[0] <= shares[-1] <= _ALL:
        raise ValueError(f"{text!r} are no shares, write rising percentages from 1 to 100, for example 5,25,100")
    return shares
