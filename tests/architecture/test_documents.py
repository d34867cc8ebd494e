"""What the documents promise exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_cli.app import app
from trunkline_cli.settings import ClientSettings
from trunkline_conversation.settings import ConversationSettings
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.settings import RagSettings
from trunkline_supervisor.settings import SuiteSettings
from typer.main import get_command

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if not name.startswith("fleet/knowledge/")
]
MANUALS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench" / "README.md"]
SETTINGS = (
    AgentsSettings,
    AuditSettings,
    ClientSettings,
    ConversationSettings,
    GatewaySettings,
    IngressSettings,
    RagSettings,
    SuiteSettings,
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there."""
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'<img src="([^"]+)"', text)
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_the_manuals_exist(manual: Path) -> None:
    """What is shown between backticks or in a block of shell can be typed."""
    shown = re.findall(r"(?:`|^|; )trunkline ([a-z]+)(?: ([a-z]+)(?=[ `\n]))?", manual.read_text("utf-8"), re.MULTILINE)
    commands = get_command(app).commands
    for name, nested in shown:
        assert name in commands
        assert nested in {"", *getattr(commands[name], "commands", {nested: None})}, f"{name} {nested}"


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_of_the_manuals_are_settings(manual: Path) -> None:
    """A renamed setting would be ignored without a word."""
    known = {f"TRUNKLINE_{name.upper()}" for settings in SETTINGS for name in settings.model_fields}
    assert set(re.findall(r"\bTRUNKLINE_[A-Z_]+\b", manual.read_text(encoding="utf-8"))) <= known


def test_example_of_a_model_provider_is_valid(tmp_path: Path) -> None:
    """The README's file can be copied as it stands."""
    example = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert example is not None
    file = tmp_path / "llm.toml"
    file.write_text(example.group(1), encoding="utf-8")
    assert load_config(file).provider[0].kind == "openai"


def test_configuration_of_the_load_bench_is_valid() -> None:
    """And nothing in it but the simulated provider: its time is the one that is subtracted."""
    assert [provider.kind for provider in load_config(ROOT / "bench" / "simulated.toml").provider] == ["simulated"]


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
