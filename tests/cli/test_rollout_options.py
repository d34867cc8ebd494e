"""Durations and shares of a roll-out as an operator writes them."""

from __future__ import annotations

import pytest
from trunkline_cli.fleet.core.durations import parse_duration, parse_shares


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5_400), ("1d", 86_400), ("0s", 0)])
def test_duration(text: str, seconds: float) -> None:
    """With its unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1m30s", "1 m", "1_0s", "9999999s", "infs"])
def test_other_text_is_no_duration(text: str) -> None:
    """A number without a unit would be a guess."""
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_shares() -> None:
    """Rising percentages."""
    assert parse_shares("5,25,100") == [5, 25, 100]
    assert parse_shares("100") == [100]


@pytest.mark.parametrize("text", ["", "0,100", "25,5", "5,5", "5,101", "5, 25", "5,,25", "5%", "5.5", "-5"])
def test_other_text_is_no_shares(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="are no shares"):
        parse_shares(text)
