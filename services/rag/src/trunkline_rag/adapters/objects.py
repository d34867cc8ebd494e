"""The object store behind obstore: a local folder, or S3, Google Cloud Storage and Azure by their URL.

Keys and endpoints of a cloud come from its own environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from trunkline_rag.ports import ObjectMissingError, ObjectsUnavailableError

_RETRIES: Final = 4
_RETRY_S: Final = 60


class ObstoreObjects:
    """Objects below one folder or prefix."""

    def __init__(self, url: str) -> None:
        """Name a folder, which is made where it is missing, or s3://bucket/prefix, gs://..., az://...

        Opened with its first use: searches do not depend on it.
        """
        self.place = url

    @cached_property
    def _store(self) -> ObjectStore:
        try:
            return _open(self.place)
        except (BaseError, ValueError, OSError) as error:
            raise ObjectsUnavailableError(f"{self.place}: {_first_line(error)}") from error

    async def put(self, name: str, payload: bytes) -> None:
        """Store an object; obstore shows it under its name when it is whole."""
        try:
            await self._store.put_async(name, payload)
        except (BaseError, OSError) as error:
            raise ObjectsUnavailableError(f"{self.place}: {_first_line(error)}") from error

    async def get(self, name: str) -> bytes:
        """Read an object."""
        try:
            found = await self._store.get_async(name)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(f"{self.place} has no {name}") from error
        except (BaseError, OSError) as error:
            raise ObjectsUnavailableError(f"{self.place}: {_first_line(error)}") from error

    async def listed(self, prefix: str) -> dict[str, float]:
        """List page by page."""
        found: dict[str, float] = {}
        try:
            async for page in self._store.list(prefix):
                for item in page:
                    found[item["path"].removeprefix(f"{prefix}/")] = item["last_modified"].timestamp()
        except (NotFoundError, FileNotFoundError):
            return {}
        except (BaseError, OSError) as error:
            raise ObjectsUnavailableError(f"{self.place}: {_first_line(error)}") from error
        return found

    async def remove(self, names: Sequence[str]) -> None:
        """Remove one after another."""
        for name in names:
            try:
                await self._store.delete_async(name)
            except (NotFoundError, FileNotFoundError):
                continue
            except (BaseError, OSError) as error:
                raise ObjectsUnavailableError(f"{self.place}: {_first_line(error)}") from error


def _open(url: str) -> ObjectStore:
    if "://" not in url:
        folder = Path(url).absolute()
        return LocalStore(folder, mkdir=True)
    # Options of the client given here would take the place of those in the environment (AWS_ALLOW_HTTP); its own
    # timeout is 30 s.
    return from_url(url, retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)})


def _first_line(error: Exception) -> str:
    """What people need; below it the library prints its own structures."""
    return str(error).partition("\n")[0].strip()
