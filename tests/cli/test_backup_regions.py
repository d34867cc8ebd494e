"""A backup of a suite is restored in its own region only."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_chassis.bus import connect
from trunkline_chassis.provision import provision
from trunkline_chassis.regional_objects import HOME_NAME
from trunkline_cli.backup.creation import Creation
from trunkline_cli.backup.manifest import SuiteManifest
from trunkline_cli.backup.restoration import Restoration
from trunkline_cli.backup.store import BackupStore
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings
from trunkline_protocols import codec, streams, subjects
from trunkline_supervisor.settings import SuiteSettings

from tests.support.nats import nats_server

MANIFEST = SuiteManifest(id="20260101T000000Z", begun_at=1.0, finished_at=2.0, region="us", version="0.1.0", streams=[])


async def test_backup_of_another_region_leaves_a_new_folder_as_it_was(tmp_path: Path) -> None:
    """The error names both regions and the setting."""
    store = BackupStore(str(tmp_path / "store"))
    await store.put_manifest(MANIFEST)
    restoration = Restoration(SuiteSettings(data_dir=tmp_path / "data", region="eu"), store)
    with pytest.raises(CommandError, match="'us', and TRUNKLINE_REGION is 'eu'"):
        await restoration.run(MANIFEST.id)
    assert not (tmp_path / "data").exists()


@pytest.mark.processes
async def test_servers_of_a_suite_record_the_attempt(tmp_path: Path) -> None:
    """Nothing else is written to them."""
    store = BackupStore(str(tmp_path / "store"))
    await store.put_manifest(MANIFEST)
    (tmp_path / "nats").mkdir()
    with nats_server(tmp_path / "nats") as url:
        bus = await connect(url, "test")
        await provision(bus, region="eu", specialties=[], replicas=1)
        settings = SuiteSettings(data_dir=tmp_path / "data", region="eu", nats_url=url)
        with pytest.raises(CommandError):
            await Restoration(settings, store, replace=True).run(MANIFEST.id)
        (stored,) = await bus.read_messages(streams.VIOLATIONS.name, subjects.violation_any("eu"))
        violation = codec.violation.decode(stored.payload)
        assert (violation.border, violation.from_region, violation.to_region) == ("backup", "us", "eu")
        assert violation.asset == MANIFEST.id
        await bus.close()


@pytest.mark.processes
async def test_store_of_another_region_gets_no_backup(tmp_path: Path) -> None:
    """Its backups have names of the same form, so keeping the newest would remove them; it is recorded."""
    store = BackupStore(str(tmp_path / "store"))
    await store.claim("us")
    (tmp_path / "nats").mkdir()
    with nats_server(tmp_path / "nats") as url:
        bus = await connect(url, "test")
        await provision(bus, region="eu", specialties=[], replicas=1)
        settings = SuiteSettings(data_dir=tmp_path / "data", region="eu", nats_url=url)
        with pytest.raises(CommandError, match="belongs to region 'us': region 'eu'"):
            await Creation(settings, ClientSettings(), store).run()
        (stored,) = await bus.read_messages(streams.VIOLATIONS.name, subjects.violation_any("eu"))
        violation = codec.violation.decode(stored.payload)
        assert (violation.border, violation.from_region, violation.to_region) == ("backup", "eu", "us")
        await bus.close()
    assert await store.names("") == {HOME_NAME}
