"""The region of an object store: object `region` names it, and processes of another region are refused.

Archives and backups of two regions have names of one form: in a common folder, one region would remove those of the
other, and read its texts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from trunkline_protocols.rules.residency import UNKNOWN, may_cross, recorded_region

from trunkline_chassis.errors import ObjectExistsError, ObjectMissingError, ObjectStoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trunkline_chassis.object_store import ObstoreObjectStore
    from trunkline_chassis.residency import BorderGuard

HOME_NAME: Final = "region"


class ObjectsElsewhereError(ObjectStoreUnavailableError):
    """The store belongs to another region, `home`."""

    def __init__(self, location: str, home: str, region: str) -> None:
        """Name the store and both regions."""
        super().__init__(f"{location} belongs to region {home!r}: region {region!r} needs a place of its own")
        self.home = home


async def require_home(objects: ObstoreObjectStore, region: str, border: Literal["archive", "backup"]) -> bool:
    """Return whether a region has claimed the store, False if none has; raise `ObjectsElsewhereError` for another."""
    try:
        content = await objects.get(HOME_NAME)
    except ObjectMissingError:
        return False
    home = recorded_region(content.decode(errors="replace").strip())
    if home == UNKNOWN or not may_cross(border, data=region, place=home):
        raise ObjectsElsewhereError(objects.location, home, region)
    return True


async def claim_home(objects: ObstoreObjectStore, region: str, border: Literal["archive", "backup"]) -> None:
    """Claim the store, also one of an earlier version; raise `ObjectsElsewhereError` if another region was first."""
    if await require_home(objects, region, border):
        return
    try:
        await objects.put_once(HOME_NAME, f"{region}\n".encode())
    except ObjectExistsError:
        await require_home(objects, region, border)


class RegionalObjects:
    """Objects of one region: the first write claims the store, and each refusal is counted and recorded."""

    def __init__(self, objects: ObstoreObjectStore, borders: BorderGuard, border: Literal["archive", "backup"]) -> None:
        """Guard `objects` for the region of `borders`."""
        self._objects = objects
        self._borders = borders
        self._border: Literal["archive", "backup"] = border
        self._is_claimed = False

    @property
    def location(self) -> str:
        """Folder or URL, for messages."""
        return self._objects.location

    async def put(self, name: str, payload: bytes) -> None:
        """Write an object."""
        await self._check(claims=True)
        await self._objects.put(name, payload)

    async def put_once(self, name: str, payload: bytes) -> None:
        """Write an object that must not exist with other bytes; raises `ObjectExistsError`."""
        await self._check(claims=True)
        await self._objects.put_once(name, payload)

    async def get(self, name: str) -> bytes:
        """Read an object; raises `ObjectMissingError`."""
        await self._check()
        return await self._objects.get(name)

    async def list_objects(self, prefix: str) -> dict[str, float]:
        """Return the names of the objects below a prefix, with their modification times."""
        await self._check()
        return await self._objects.list_objects(prefix)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects."""
        await self._check()
        await self._objects.delete(names)

    async def _check(self, *, claims: bool = False) -> None:
        """Raise `ObjectsElsewhereError` in the store of another region; a claim is verified once."""
        if self._is_claimed:
            return
        region = self._borders.region
        try:
            if claims:
                await claim_home(self._objects, region, self._border)
                self._is_claimed = True
            else:
                self._is_claimed = await require_home(self._objects, region, self._border)
        except ObjectsElsewhereError as error:
            # Attempts within a minute are one record: a schedule, and an operator's page, try again.
            record_id = f"{self._border}-store-{region}-{error.home}-{int(time.time()) // 60}"
            self._borders.admits(self._border, data=region, place=error.home, asset="store", record_id=record_id)
            raise


def regional_objects(
    open_objects: Callable[[str], ObstoreObjectStore], borders: BorderGuard, border: Literal["archive", "backup"]
) -> Callable[[str], RegionalObjects]:
    """Return a function that opens the store of a location for one region."""
    return lambda location: RegionalObjects(open_objects(location), borders, border)
