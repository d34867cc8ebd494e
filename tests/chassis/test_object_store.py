"""Objects that are written once, in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_chassis.errors import ObjectExistsError, ObjectMissingError
from trunkline_chassis.object_store import ObstoreObjectStore, local_folder


@pytest.mark.parametrize("scheme", ["", "file://"])
async def test_object_is_written_once_and_read_only(tmp_path: Path, scheme: str) -> None:
    """A repetition with the same bytes is no error, other bytes are, and the first ones stay."""
    store = ObstoreObjectStore(f"{scheme}{tmp_path / 'a folder'}")
    await store.put_once("run/1.zst", b"one")
    file = tmp_path / "a folder" / "run" / "1.zst"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"one", 0o400)
    await store.put_once("run/1.zst", b"one")
    with pytest.raises(ObjectExistsError, match=r"run/1\.zst"):
        await store.put_once("run/1.zst", b"two")
    assert await store.get("run/1.zst") == b"one"
    with pytest.raises(ObjectMissingError):
        await store.get("run/2.zst")


async def test_object_of_a_killed_process_becomes_read_only(tmp_path: Path) -> None:
    """It was written, but not sealed."""
    (tmp_path / "1.zst").write_bytes(b"one")
    await ObstoreObjectStore(str(tmp_path)).put_once("1.zst", b"one")
    assert (tmp_path / "1.zst").stat().st_mode & 0o777 == 0o400


def test_location_is_a_folder_or_a_store(tmp_path: Path) -> None:
    """With blanks percent-encoded or not."""
    assert local_folder("file:///var/a%20b") == Path("/var/a b")
    assert local_folder(str(tmp_path)) == tmp_path
    assert local_folder("s3://bucket/prefix") is None
