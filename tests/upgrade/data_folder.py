"""Data folders of released versions: python -m tests.upgrade.data_folder VERSION makes the one of this version.

A folder holds what a suite has stored: conversations of which one waits for a person, a fleet that an operator has
applied, an imported article, and the archive. It is made once, when a version is released, and never changed.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli

FOLDERS: Final = Path(__file__).parent / "folders"
ROOT: Final = Path(__file__).parents[2]
FLEET: Final = ROOT / "examples" / "minimal-fleet"
ENVIRONMENT: Final = {
    "TRUNKLINE_FLEET_DIR": str(FLEET),
    "TRUNKLINE_EMBEDDER": "lexical",
    # The tokens of the customers must open their conversations for as long as the folder is kept.
    "TRUNKLINE_RESUME_TTL_S": str(100 * 365 * 86_400),
}
_LEFT_OUT: Final = frozenset({"lock", "logs", "run"})
_ARTICLE: Final = """---
id: lost-property
title: Lost property
topics: [opening]
updated: 2026-11-01
---

Umbrellas and glasses that are found in a boat wait at the jetty for fourteen days.
"""
GREETING: Final = "Ahoy, this is"
_ARCHIVE_TIMEOUT_S: Final = 30.0
LOST: Final = "umbrellas left in a boat"


class Recorded(msgspec.Struct, frozen=True):
    """A conversation as its customer knew it."""

    conversation: str
    resume_token: str
    frames: list[dict[str, Any]]
    """Durable frames in their order."""
    asked: int
    """Number of messages that the customer has sent."""


class Contents(msgspec.Struct, frozen=True):
    """What a folder must show to every later version."""

    version: str
    answered: Recorded
    waiting: Recorded
    archived: list[list[str]]
    """Conversation, turn and role of each archived message, sorted."""


def read_contents(archive: Path) -> Contents:
    """Read the contents beside an archive."""
    return msgspec.json.decode(archive.with_suffix("").with_suffix(".json").read_bytes(), type=Contents)


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive and return the data folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / "data"


async def archived(suite: Suite) -> list[list[str]]:
    """Return conversation, turn and role of each message of the archive, sorted."""
    connection = await asyncpg.connect(suite.postgres_dsn())
    try:
        rows = await connection.fetch("SELECT conversation, turn, role FROM conversation_messages")
    finally:
        await connection.close()
    return sorted([str(value) for value in row] for row in rows)


def durable(customer: Customer) -> list[dict[str, Any]]:
    """Return the frames of a customer that a later socket gets again: all that are numbered, after the first."""
    return [frame for frame in customer.frames if frame.get("seq", 0) > 1 and frame["type"] != "accepted"]


async def make(version: str) -> Path:
    """Make the folder of a version; return the archive."""
    with tempfile.TemporaryDirectory(prefix="trunkline-folder-") as name:
        folder = Path(name) / "data"
        suite = await asyncio.to_thread(Suite, folder, ENVIRONMENT)
        try:
            contents = await _fill(suite, version, Path(name))
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
        FOLDERS.mkdir(exist_ok=True)
        archive = FOLDERS / f"{version}.tar.xz"
        with tarfile.open(archive, "x:xz", preset=9) as tar:
            for each in sorted(folder.iterdir()):
                if each.name not in _LEFT_OUT and each.name != "up.log":
                    tar.add(each, f"data/{each.name}", filter=_anonymous)
    archive.with_suffix("").with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(contents)))
    return archive


async def _fill(suite: Suite, version: str, folder: Path) -> Contents:
    article = folder / "lost-property.md"
    article.write_text(_ARTICLE)
    _command(suite, "kb", "import", str(article))
    fleet = shutil.copytree(FLEET, folder / "fleet")
    company = fleet / "fleet.toml"
    company.write_text(company.read_text().replace("Hello, this is", GREETING))
    _command(suite, "fleet", "apply", str(fleet), "--note", "of an operator")
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "What does a kayak cost?")
        await customer.ask("m2", "Can I move my booking to Friday?")
        answered = _recorded(customer, 2)
    async with Customer(suite.url, "bob") as customer:
        await customer.start()
        await customer.ask("m1", "I want to speak to a person")
        waiting = _recorded(customer, 1)
    asked = answered.asked + waiting.asked
    async with asyncio.timeout(_ARCHIVE_TIMEOUT_S):
        while len(rows := await archived(suite)) < 2 * asked:
            await asyncio.sleep(0.2)
    return Contents(version, answered, waiting, rows)


def _recorded(customer: Customer, asked: int) -> Recorded:
    return Recorded(customer.conversation, customer.resume_token, durable(customer), asked)


def _command(suite: Suite, *arguments: str) -> None:
    done = run_cli(suite, *arguments)
    assert done.returncode == 0, done.stderr


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Drop the account and the paths of the machine that made the folder; PostgreSQL writes its options at a start."""
    if Path(info.name).name == "postmaster.opts":
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def main() -> None:
    """Make the folder of the version that is released."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    archive = asyncio.run(make(parser.parse_args().version))
    print(f"{archive}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main()
