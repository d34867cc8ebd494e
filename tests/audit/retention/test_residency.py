"""Archives of another region: nothing is written to them, trimmed after them, or read from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_chassis.bus import Bus
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import HOME_NAME, ObjectsElsewhereError, claim_home, regional_objects
from trunkline_protocols.archives import ReadArchived

from tests.audit.harness import ArchiveReader
from tests.audit.retention.harness import REGION, open_suite
from tests.support.borders import ListedBorders

pytestmark = pytest.mark.processes


async def test_archives_of_another_region_are_refused(
    bus: Bus,  # noqa: ARG001 - provisioned
    nats_url: str,
    archive: ArchiveReader,
    tmp_path: Path,
) -> None:
    """The run fails before its first object; later, the archive of the own region cannot be read from there either."""
    borders = ListedBorders(REGION)
    open_objects = regional_objects(ObstoreObjectStore, borders, "archive")
    async with open_suite(nats_url, archive, tmp_path) as suite:
        record = await suite.traffic.converse()
        await suite.settle()
        suite.clock.days = 30
        await claim_home(ObstoreObjectStore(suite.location), "us", "archive")
        with pytest.raises(ObjectsElsewhereError, match="belongs to region 'us'"):
            await suite.retention(open_objects=open_objects).run()
        assert suite.files("*.zst") == []
        assert await suite.texts(record) == 2 * (len(record.questions) + 1)
        marker = Path(suite.location) / HOME_NAME
        marker.unlink()
        assert (await suite.retention(open_objects=open_objects).run()).trimmed
        assert marker.read_text() == f"{REGION}\n"
        marker.unlink()
        await claim_home(ObstoreObjectStore(suite.location), "us", "archive")
        with pytest.raises(ObjectsElsewhereError):
            await ArchivedConversations(archive.dsn, open_objects).read(ReadArchived(conversation=record.conversation))
    assert set(borders.refused) == {("archive", REGION, "us")}
