"""Public keys of the identity provider (JSON Web Key Set), from a URL or a file, refreshed so that keys can rotate.

If a refresh fails, the last readable keys hold. Without any key every token is refused.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import structlog
from trunkline_protocols.decoding import decode

_log: Final = structlog.get_logger(__name__)

_REFRESH_INTERVAL_S: Final = 300.0
_MIN_REFRESH_INTERVAL_S: Final = 10.0
"""Minimum time between refreshes for unknown key ids: any caller can send such ids."""
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1024 * 1024
PUBLIC_KEY_ALGORITHMS: Final = ("RS256", "ES256")


class KeySet:
    """The keys of a JWKS by their ids."""

    def __init__(self, location: str) -> None:
        """`location` is an https address (http on this machine only) or a file; `refresh` loads the keys."""
        self._location = location
        self._keys: dict[str, jwt.PyJWK] = {}
        self._refreshed_at = -_MIN_REFRESH_INTERVAL_S
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of an id, None if it is unknown; an unknown id refreshes the keys, at most every 10 s."""
        if key_id not in self._keys:
            async with self._lock:
                if key_id not in self._keys and time.monotonic() - self._refreshed_at >= _MIN_REFRESH_INTERVAL_S:
                    await self.refresh()
        return self._keys.get(key_id)

    async def run(self) -> None:
        """Refresh the keys periodically, until cancelled: a key that is removed at its source is refused then."""
        while True:
            await asyncio.sleep(_REFRESH_INTERVAL_S)
            async with self._lock:
                await self.refresh()

    async def refresh(self) -> None:
        """Load the keys; if that fails, log it and keep the present ones."""
        self._refreshed_at = time.monotonic()
        try:
            raw = await self._read()
            keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(decode(raw, dict[str, Any])).keys if key.key_id}
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            _log.error("jwks.refresh_failed", error=type(error).__name__)
            return
        self._keys = {id_: key for id_, key in keys.items() if key.algorithm_name in PUBLIC_KEY_ALGORITHMS}
        if not self._keys:
            _log.error("jwks.without_keys", algorithms=list(PUBLIC_KEY_ALGORITHMS))

    async def _read(self) -> bytes:
        if "://" not in self._location:
            return await asyncio.to_thread(Path(self._location).read_bytes)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._location, allow_redirects=False, raise_for_status=True) as response,
        ):
            raw = await response.content.read(_MAX_BYTES + 1)
            while len(raw) <= _MAX_BYTES and (chunk := await response.content.read(_MAX_BYTES)):
                raw += chunk
        if len(raw) > _MAX_BYTES:
            raise ValueError("the key set is too large")
        return raw
