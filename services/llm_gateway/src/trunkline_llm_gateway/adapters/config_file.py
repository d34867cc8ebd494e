"""The configuration file: read at the start, and watched for changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from trunkline_chassis.ticks import next_tick

from trunkline_llm_gateway.core.config import DEFAULT_CONFIG, ConfigError, GatewayConfig, parse_config

_log: Final = structlog.get_logger(__name__)
_POLL_INTERVAL_S: Final = 1.0


def load_config(file: Path | None) -> GatewayConfig:
    """Read and check a TOML file, by default the extractive provider alone; raise `ConfigError` if it is invalid."""
    if file is None:
        return DEFAULT_CONFIG
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    return parse_config(text, str(file))


class ConfigWatcher:
    """Applies every change of the file; an invalid one is logged and leaves the active configuration in place."""

    def __init__(self, file: Path, apply: Callable[[GatewayConfig], Awaitable[None]]) -> None:
        """Watch for changes from now on."""
        self._file = file
        self._apply = apply
        self._applied = _signature(file)

    async def run(self) -> None:
        """Poll the file until cancelled."""
        while True:
            await next_tick(_POLL_INTERVAL_S)
            signature = _signature(self._file)
            if signature == self._applied:
                continue
            self._applied = signature
            try:
                config = load_config(self._file)
                await self._apply(config)
            except ConfigError as error:
                _log.error("config.rejected", reason=str(error))
                continue
            _log.info("config.reloaded", providers=[provider.name for provider in config.provider])


def _signature(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
