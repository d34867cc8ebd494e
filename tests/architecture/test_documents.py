"""The documents agree with the code: links resolve, commands, options, recipes and variables exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from trunkline_cli.reference.configuration import variables
from trunkline_llm_gateway.adapters.config_file import load_config

from tests.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if not name.startswith("fleet/knowledge/") and (ROOT / name).exists()
]
MANUALS = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "bench/README.md",
        "docs/architecture.md",
        "docs/operations.md",
        "docs/reliability.md",
        "docs/runbook.md",
        "docs/versioning.md",
        "examples/README.md",
        "fleet/README.md",
        "tests/README.md",
    )
]
TOOL_SECRET = re.compile(r"TRUNKLINE_SECRET_[A-Z_]+")
"""A variable whose name a fleet chooses."""


def each(documents: list[Path]) -> pytest.MarkDecorator:
    """Return the mark that runs a test for each document."""
    return pytest.mark.parametrize("document", documents, ids=lambda path: str(path.relative_to(ROOT)))


def recipes() -> set[str]:
    """Return the public recipes of the Justfile."""
    text = (ROOT / "Justfile").read_text(encoding="utf-8")
    return set(re.findall(r"^(?:\[group[^\n]*\n)([a-z-]+)", text, flags=re.MULTILINE))


@each(DOCUMENTS)
def test_links_resolve(document: Path) -> None:
    """Every relative link names an existing file."""
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'<img src="([^"]+)"', text)
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@each(MANUALS)
def test_commands_exist(document: Path) -> None:
    """Every command between backticks or in a shell block, with its options, can be entered."""
    text = document.read_text(encoding="utf-8")
    lines = re.findall(r"(?:`|^|; )(?:\.venv/bin/)?trunkline ([a-z][^`\n]*)", text, flags=re.MULTILINE)
    for line in lines:
        words = line.split("#")[0].split()
        path = next((path for depth in (3, 2, 1) if (path := tuple(words[:depth])) in COMMANDS), ())
        assert path, line
        assert len(path) == len(words) or not hasattr(COMMANDS[path], "commands"), line
        known = {option for parameter in COMMANDS[path].params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, line


@each(MANUALS)
def test_recipes_exist(document: Path) -> None:
    """Every `./just RECIPE` is a recipe of the Justfile."""
    assert set(re.findall(r"\./just ([a-z][a-z-]*)", document.read_text(encoding="utf-8"))) <= recipes()


@each(MANUALS)
def test_variables_are_settings(document: Path) -> None:
    """A former or misspelt name would have no effect."""
    named = set(re.findall(r"\bTRUNKLINE_[A-Z_]*[A-Z]\b", document.read_text(encoding="utf-8")))
    assert {name for name in named if not TOOL_SECRET.fullmatch(name)} <= variables()


def test_commands_are_checked() -> None:
    """The patterns find commands, recipes and variables in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`trunkline status`" in text
    assert "./just up" in text
    assert "`TRUNKLINE_LLM_CONFIG`" in text


def test_configuration_of_the_load_bench_is_valid() -> None:
    """Its only provider is the simulated one, whose time is subtracted."""
    assert [provider.kind for provider in load_config(ROOT / "bench" / "simulated.toml").provider] == ["simulated"]


def test_every_recipe_is_documented() -> None:
    """`just --list` shows a sentence for each."""
    text = (ROOT / "Justfile").read_text(encoding="utf-8")
    assert {"up", "test", "check"} <= recipes()
    for recipe in recipes():
        assert re.search(rf"^# [^\n]+\n\[group[^\n]*\n{recipe}\b", text, flags=re.MULTILINE), recipe


def test_locks_hold_hashes_and_no_addresses() -> None:
    """Packages can be installed from any mirror."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "file:" not in text
