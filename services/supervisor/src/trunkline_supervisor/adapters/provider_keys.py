"""Names of the variables that hold API keys of model providers, from the gateway's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline_protocols.decoding import decode_toml


def key_variables(config: Path | None) -> frozenset[str]:
    """Return every `api_key_env` of a TOML file; none if it cannot be read, which the gateway itself reports."""
    if config is None:
        return frozenset()
    try:
        return frozenset(_named(decode_toml(config.read_text(encoding="utf-8-sig"), dict)))
    except (OSError, ValueError, RecursionError):
        return frozenset()


def _named(value: Any) -> Iterator[str]:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        name = value.get("api_key_env")
        if isinstance(name, str):
            yield name
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
