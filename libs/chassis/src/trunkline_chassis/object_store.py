"""Object store on obstore: a local folder, S3, Google Cloud Storage or Azure, chosen by URL.

Credentials and endpoints of a cloud come from its own environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT ...).
Objects may be written once: then one that exists stays as it is, and a file is read-only.

The library's blocking calls are made in threads of ours: those of its asynchronous ones touch Python objects at any
time, and abort a process that ends meanwhile (obstore 0.12; 7 of 40 commands on a loaded machine).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from trunkline_chassis.errors import ObjectExistsError, ObjectMissingError, ObjectStoreUnavailableError

_MAX_RETRIES: Final = 4
_RETRY_TIMEOUT_S: Final = 60
_READ_ONLY: Final = 0o400


class ObstoreObjectStore:
    """Objects below one folder or prefix."""

    def __init__(self, url: str) -> None:
        """Take a folder or file:// address, created if missing, or s3://bucket/prefix, gs://..., az://...

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
            await asyncio.to_thread(self._store.put, name, payload)
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    async def put_once(self, name: str, payload: bytes) -> None:
        """Write an object that must not exist with other bytes; raise `ObjectExistsError` if it does.

        In a folder its mode is 0400 afterwards, also if a process was killed between the two steps.
        """
        try:
            await asyncio.to_thread(self._store.put, name, payload, mode="create")
        except (AlreadyExistsError, FileExistsError):
            if await self.get(name) != payload:
                raise ObjectExistsError(f"{self.location} has {name} with other bytes") from None
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error
        folder = local_folder(self.location)
        if folder is not None:
            await asyncio.to_thread(_seal, folder / name)

    async def get(self, name: str) -> bytes:
        """Read an object."""
        try:
            with self._translated_errors():
                return await asyncio.to_thread(lambda: bytes(self._store.get(name).bytes()))
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(f"{self.location} has no {name}") from error

    async def download(self, name: str, file: Path) -> None:
        """Write an object to a file, part by part."""
        try:
            with self._translated_errors():
                await asyncio.to_thread(self._download, name, file)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(f"{self.location} has no {name}") from error

    def _download(self, name: str, file: Path) -> None:
        with file.open("wb") as out:
            for chunk in self._store.get(name).stream():
                out.write(chunk)

    async def list_objects(self, prefix: str) -> dict[str, float]:
        """List page by page."""
        try:
            with self._translated_errors():
                return await asyncio.to_thread(self._list, prefix)
        except (NotFoundError, FileNotFoundError):
            return {}

    def _list(self, prefix: str) -> dict[str, float]:
        return {
            item["path"].removeprefix(f"{prefix}/"): item["last_modified"].timestamp()
            for page in self._store.list(prefix)
            for item in page
        }

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects sequentially."""
        for name in names:
            try:
                with self._translated_errors():
                    await asyncio.to_thread(self._store.delete, name)
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


def local_folder(location: str) -> Path | None:
    """Return the folder of a location, None for an object store."""
    if "://" not in location:
        return Path(location).absolute()
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _seal(file: Path) -> None:
    """Make a file read-only and durable, with its name."""
    file.chmod(_READ_ONLY)
    for path in (file, file.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open(url: str) -> ObjectStore:
    folder = local_folder(url)
    if folder is not None:
        return LocalStore(folder, mkdir=True)
    # Client options given here would replace those of the environment (AWS_ALLOW_HTTP); the default timeout is 30 s.
    return from_url(
        url, retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": timedelta(seconds=_RETRY_TIMEOUT_S)}
    )
