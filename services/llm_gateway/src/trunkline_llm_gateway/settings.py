"""Settings of the LLM gateway, and its providers' keys: the only place that reads the environment."""

from __future__ import annotations

import os
from pathlib import Path

import structlog
from pydantic import Field
from trunkline_chassis.settings import ProcessSettings

from trunkline_llm_gateway.core.config import ConfigError, ProviderConfig

_log = structlog.get_logger(__name__)


class GatewaySettings(ProcessSettings):
    """Which providers there are."""

    llm_config: Path | None = Field(None, description="TOML file of providers; without it the extractive one serves")


def api_key(config: ProviderConfig) -> str:
    """Read a provider's key by the name of its variable or file; keys stand in no configuration and in no log."""
    if config.api_key_file:
        try:
            return Path(config.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"provider {config.name}: api_key_file: {error}") from error
    if config.api_key_env and config.api_key_env not in os.environ:
        # Some servers take any key or none: asked without one, the server itself says whether it is needed.
        _log.warning("llm.key_missing", provider=config.name, api_key_env=config.api_key_env)
    return os.environ.get(config.api_key_env, "") if config.api_key_env else ""
