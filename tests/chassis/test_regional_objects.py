"""The region of an object store: the first that writes claims it, others neither read nor write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_chassis.errors import ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import (
    HOME_NAME,
    ObjectsElsewhereError,
    RegionalObjects,
    claim_home,
    regional_objects,
)

from tests.support.borders import ListedBorders


def open_objects(folder: Path, region: str) -> tuple[RegionalObjects, ListedBorders]:
    borders = ListedBorders(region)
    return RegionalObjects(ObstoreObjectStore(str(folder)), borders, "archive"), borders


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def test_first_writer_claims_the_store(tmp_path: Path) -> None:
    """The region stays in a file that cannot be written again; nothing is claimed by reading."""
    eu, borders = open_objects(tmp_path, "eu")
    with pytest.raises(ObjectMissingError):
        await eu.get("a")
    assert not (tmp_path / HOME_NAME).exists()
    await eu.put_once("a", b"1")
    await eu.put("b", b"2")
    assert (tmp_path / HOME_NAME).read_text() == "eu\n"
    assert (tmp_path / HOME_NAME).stat().st_mode & 0o777 == 0o400
    again, _ = open_objects(tmp_path, "eu")
    assert [await again.get("a"), await again.get("b")] == [b"1", b"2"]
    assert borders.refused == []


async def test_other_region_neither_reads_nor_writes_nor_removes(tmp_path: Path) -> None:
    """Every attempt is refused at the border that the store belongs to."""
    await open_objects(tmp_path, "eu")[0].put_once("a", b"1")
    us, borders = open_objects(tmp_path, "us")
    for attempt in (
        us.get("a"),
        us.put("a", b"2"),
        us.put_once("b", b"2"),
        us.list_objects(""),
        us.delete(["a"]),
    ):
        with pytest.raises(ObjectsElsewhereError, match="belongs to region 'eu': region 'us'"):
            await attempt
    assert borders.refused == [("archive", "us", "eu")] * 5
    assert names(tmp_path) == {"a", HOME_NAME}
    assert (tmp_path / "a").read_bytes() == b"1"


async def test_one_of_two_regions_wins_a_race(tmp_path: Path) -> None:
    """Both find no claim."""
    for attempt in range(20):
        folder = str(tmp_path / str(attempt))
        claims = [claim_home(ObstoreObjectStore(folder), region, "backup") for region in ("eu", "us")]
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [ObjectsElsewhereError]


async def test_store_of_an_earlier_version_is_claimed_by_the_first_writer(tmp_path: Path) -> None:
    """Its objects stay readable meanwhile."""
    (tmp_path / "a").write_bytes(b"1")
    us, borders = open_objects(tmp_path, "us")
    assert await us.get("a") == b"1"
    await us.put("b", b"2")
    with pytest.raises(ObjectsElsewhereError):
        await open_objects(tmp_path, "eu")[0].get("a")
    assert borders.refused == []


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"eu us"])
async def test_damaged_claim_refuses_every_region(tmp_path: Path, content: bytes) -> None:
    """It fails closed, and names the store for the operator."""
    (tmp_path / HOME_NAME).write_bytes(content)
    opened = regional_objects(ObstoreObjectStore, ListedBorders("eu"), "backup")(str(tmp_path))
    with pytest.raises(ObjectStoreUnavailableError, match=str(tmp_path)):
        await opened.put("a", b"1")
