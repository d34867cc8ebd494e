"""Settings of the LLM gateway."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from trunkline_chassis.settings import ProcessSettings


class GatewaySettings(ProcessSettings):
    """Which providers there are."""

    llm_config: Path | None = Field(None, description="TOML file of providers; without it the extractive one serves")


def api_key(variable: str) -> str:
    """Read a provider's key by the name of its variable; keys stand in no file of ours and in no log."""
    return os.environ.get(variable, "") if variable else ""
