"""Object store on obstore: a local folder, S3, Google Cloud Storage or Azure, chosen by URL.

Credentials and endpoints of a cloud come from its own environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from trunkline_rag.ports import ObjectMissingError, ObjectStoreUnavailableError

_MAX_RETRIES: Final = 4
_RETRY_TIMEOUT_S: Final = 60


class ObstoreObjectStore:
    """Objects below one folder or prefix."""

    def __init__(self, url: str) -> None:
        """Take a folder, created if missing, or s3://bucket/prefix, gs://..., az://...

        Opened at the first use: searches do not depend on it.
        """
        self.location = url

    @cached_property
    def _store(self) -> ObjectStore:
        try:
            return _open(self.location)
        except (BaseError, ValueError, OSError) as error:
            raise self._unavailable(error) from error

    async def put(self, name: str, payload: bytes | Path) -> None:
        """Write an object, the content of a file in parts; obstore makes it visible when it is complete."""
        try:
            await self._store.put_async(name, payload)
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    async def get(self, name: str) -> bytes:
        """Read an object."""
        try:
            with self._translated_errors():
                found = await self._store.get_async(name)
                return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(f"{self.location} has no {name}") from error

    async def download(self, name: str, file: Path) -> None:
        """Write an object to a file, part by part."""
        try:
            with self._translated_errors(), file.open("wb") as out:
                found = await self._store.get_async(name)
                async for chunk in found.stream():
                    out.write(chunk)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(f"{self.location} has no {name}") from error

    async def list_objects(self, prefix: str) -> dict[str, float]:
        """List page by page."""
        found: dict[str, float] = {}
        try:
            with self._translated_errors():
                async for page in self._store.list(prefix):
                    for item in page:
                        found[item["path"].removeprefix(f"{prefix}/")] = item["last_modified"].timestamp()
        except (NotFoundError, FileNotFoundError):
            return {}
        return found

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects sequentially."""
        for name in names:
            try:
                with self._translated_errors():
                    await self._store.delete_async(name)
            except (NotFoundError, FileNotFoundError):
                continue

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise `ObjectStoreUnavailableError` for any error of the library, except that an object is missing."""
        try:
            yield
        except (NotFoundError, FileNotFoundError):
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> ObjectStoreUnavailableError:
        # The first line is for people; the library prints its internal structures below it.
        reason = str(error).partition("\n")[0].strip()
        return ObjectStoreUnavailableError(f"{self.location}: {reason}")


def _open(url: str) -> ObjectStore:
    if "://" not in url:
        folder = Path(url).absolute()
        return LocalStore(folder, mkdir=True)
    # Client options given here would replace those of the environment (AWS_ALLOW_HTTP); the default timeout is 30 s.
    return from_url(
        url, retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": timedelta(seconds=_RETRY_TIMEOUT_S)}
    )
