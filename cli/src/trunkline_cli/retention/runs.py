"""Wiring of retention in the command: PostgreSQL, NATS and the object store, by the settings or the data folder."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import Field
from trunkline_audit.adapters.policy_file import load_policy
from trunkline_audit.adapters.retention_store import PostgresRetention
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.application.retention_run import DamagedArchiveError, RetentionRun
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_audit.ports import ArchiveUnavailableError
from trunkline_audit.settings import RetentionSettings
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusError, ObjectExistsError, ObjectMissingError, ObjectStoreUnavailableError
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_chassis.regional_objects import regional_objects
from trunkline_chassis.residency import Borders, recording
from trunkline_chassis.settings import Identifier, NatsSettings
from trunkline_chassis.toml_file import TomlFileError
from trunkline_protocols.codec import DecodeError
from trunkline_protocols.ids import Instance

from trunkline_cli.audit.archive import archive_address
from trunkline_cli.embedded_nats import embedded_nats
from trunkline_cli.errors import CommandError

_NAME: Final = "retention"
_PRINCIPAL: Final = "audit"
_CONNECT_TIMEOUT_S: Final = 5.0
_POLICY_NAME: Final = "retention.toml"
_ARCHIVES_NAME: Final = "archives"


class RetentionCommandSettings(NatsSettings, RetentionSettings):
    """Settings of `trunkline retention`; the others come from the data folder."""

    nats_url: str | None = Field(None, description="NATS of the suite; default: the one of the data folder", repr=False)
    region: Identifier = Field("local", description="Region whose records and holds count")
    postgres_dsn: str | None = Field(
        None, description="PostgreSQL of the audit trail; default: the one of the data folder", repr=False
    )
    data_dir: Path = Field(Path("var"), description="Data folder of a suite on this machine")


def command_settings(data_dir: Path | None, policy: Path | None, location: str | None) -> RetentionCommandSettings:
    """Return the settings; the options override the environment, and the data folder has the defaults."""
    options: dict[str, Any] = {"data_dir": data_dir, "retention_policy": policy, "retention_url": location}
    given = {name: value for name, value in options.items() if value is not None}
    settings = RetentionCommandSettings(**given)
    defaults: dict[str, Any] = {}
    if settings.retention_policy is None and (settings.data_dir / _POLICY_NAME).is_file():
        defaults["retention_policy"] = settings.data_dir / _POLICY_NAME
    if "retention_url" not in settings.model_fields_set:
        defaults["retention_url"] = str(settings.data_dir.absolute() / _ARCHIVES_NAME)
    return settings.model_copy(update=defaults)


def read_policy(settings: RetentionCommandSettings) -> RetentionPolicy:
    """Read the policy; raise `CommandError` with file, line and reason."""
    try:
        return load_policy(settings.retention_policy)
    except TomlFileError as error:
        raise CommandError(str(error)) from error


@asynccontextmanager
async def open_run(settings: RetentionCommandSettings, policy: RetentionPolicy) -> AsyncIterator[RetentionRun]:
    """Connect, and give the run; errors of the servers become `CommandError`."""
    configure_logs(service=_NAME, instance=_NAME, level="error", style="console")
    dsn = archive_address(settings.postgres_dsn, settings.data_dir)
    url, security = nats_of(settings)
    with _one_line():
        bus = await connect(url, _NAME, principal=_PRINCIPAL, security=security, timeout_s=_CONNECT_TIMEOUT_S)
        holder = f"{socket.gethostname()}-{os.getpid()}"
        borders = Borders(bus, region=settings.region, service=_NAME, instance=Instance(_NAME))
        try:
            async with recording(borders):
                yield RetentionRun(
                    PostgresRetention(dsn, holder=holder, region=settings.region),
                    JetStreamTrimmer(bus, settings.region),
                    regional_objects(ObstoreObjectStore, borders, "archive"),
                    policy,
                    location=settings.retention_url,
                    now=lambda: datetime.now(UTC),  # noqa: TID251 - the clock that is injected everywhere
                )
        finally:
            await bus.close()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (
        ArchiveUnavailableError,
        BusError,
        DamagedArchiveError,
        ObjectExistsError,
        ObjectMissingError,
        ObjectStoreUnavailableError,
    ) as error:
        raise CommandError(str(error)) from error
    except DecodeError as error:
        raise CommandError("a legal hold cannot be read: nothing is planned or trimmed before it can") from error


def nats_of(settings: RetentionCommandSettings) -> tuple[str, NatsSecurity]:
    """Return address and credentials: those of the settings, or those of audit in the data folder."""
    if settings.nats_url is not None:
        return settings.nats_url, settings.nats_security
    return embedded_nats(settings.data_dir, _PRINCIPAL)
