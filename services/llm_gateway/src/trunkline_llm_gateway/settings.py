"""Settings of the LLM gateway and API keys of its providers, read from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog
from pydantic import Field
from trunkline_chassis.settings import ProcessSettings

from trunkline_llm_gateway.core.config import ConfigError, ProviderConfig

_log: Final = structlog.get_logger(__name__)


class GatewaySettings(ProcessSettings):
    """Environment variables of the gateway."""

    llm_config: Path | None = Field(
        None, description="TOML file of model providers; by default only the extractive provider"
    )


def api_key(config: ProviderConfig) -> str:
    """Read a provider's key from its variable or file; keys appear neither in the configuration nor in logs."""
    if config.api_key_file:
        try:
            return Path(config.api_key_file).read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"provider {config.name}: api_key_file: {error}") from error
    if config.api_key_env and config.api_key_env not in os.environ:
        # Some servers accept any key or none: the server itself rejects a request without a required key.
        _log.warning("provider.key_missing", provider=config.name, api_key_env=config.api_key_env)
    return os.environ.get(config.api_key_env, "") if config.api_key_env else ""
