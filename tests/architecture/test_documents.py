"""What the documents promise exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if not name.startswith("fleet/knowledge/")
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_every_recipe_is_documented() -> None:
    """`just --list` explains itself."""
    recipes = (ROOT / "Justfile").read_text(encoding="utf-8")
    public = re.findall(r"^(?:\[group[^\n]*\n)([a-z-]+)", recipes, flags=re.MULTILINE)
    assert {"up", "test", "check"} <= set(public)
    for recipe in public:
        assert re.search(rf"^# [^\n]+\n\[group[^\n]*\n{recipe}\b", recipes, flags=re.MULTILINE), recipe


def test_locks_hold_hashes_and_no_addresses() -> None:
    """They install from any mirror."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "file:" not in text
