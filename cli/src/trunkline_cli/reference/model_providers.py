"""Generator of the section on model providers in docs/configuration.md: the keys of the TOML file, and the presets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from trunkline_llm_gateway.core.config import BudgetConfig, GatewayConfig, ProviderConfig, RouteConfig
from trunkline_llm_gateway.core.presets import PRESETS

from trunkline_cli.reference.fields import Struct, fields_of, sentence_of

_TABLES: Final[dict[str, Struct]] = {
    "`[[provider]]`": ProviderConfig,
    "`[[route]]`": RouteConfig,
    "`[[budget]]`": BudgetConfig,
    "At the top of the file": GatewayConfig,
}
_PARTS: Final = frozenset({"provider", "route", "budget"})
"""Lists of tables, which have a section of their own."""
_OPENING: Final = """
## Model providers (file of `TRUNKLINE_LLM_CONFIG`)

`trunkline llm --check --provider NAME` sends a few small requests and prints the lines that fit a server.
"""
_PRESETS: Final = """
### Presets

`preset = "NAME"` sets these keys of a provider; its own keys win.

| preset | keys |
|---|---|"""


def model_providers() -> Iterator[str]:
    """Yield the lines of the section."""
    yield _OPENING.rstrip()
    for title, struct in _TABLES.items():
        yield f"\n### {title}\n"
        yield f"{sentence_of(struct)}\n"
        yield "| key | type | default | meaning |"
        yield "|---|---|---|---|"
        for field in fields_of(struct):
            if struct is not GatewayConfig or field.name not in _PARTS:
                cells = (f"`{field.name}`", field.type, field.default, field.meaning)
                yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield _PRESETS
    for name, settings in PRESETS.items():
        keys = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in settings.items())
        yield f"| `{name}` | {keys} |"
