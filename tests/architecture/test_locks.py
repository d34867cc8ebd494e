"""The locks pin every package by version and hash, and name no index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.language import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+(?:\[[\w,-]+\])?)==[^\s;]+")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_by_version_and_hash(lock: Path) -> None:
    """An installer refuses a file that has been replaced on its way."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not REQUIREMENT.match(line) or "--hash=sha256:" not in line] == []
    assert "://" not in text


def test_every_input_has_its_lock() -> None:
    """The generator of the bill of materials is locked too."""
    inputs = {file.stem for file in (ROOT / "requirements").glob("*.in")}
    assert inputs | {"run", "dev"} == {lock.stem for lock in LOCKS}
