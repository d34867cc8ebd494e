"""A fleet is not code: the operators' API adds no command, and `fleet diff` shows all that a version would reach."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

FLEET = Path(__file__).parents[2] / "fleet"
TOOL = 'name = "stock"\ndescription = "Stock"\nkind = "mcp"\ncommand = ["touch", "/tmp/planted"]\n'


def test_version_with_a_command_is_shown_and_refused(suite: Suite, tmp_path: Path) -> None:
    """The suite of these tests permits no command, so the active version stays."""
    folder = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    (folder / "tools").mkdir()
    (folder / "tools" / "stock.toml").write_text(TOOL)
    before = suite.get("/v1/ops/fleet")["version"]
    shown = run_cli(suite, "fleet", "diff", str(folder))
    assert shown.returncode == 0, shown.stderr
    assert "+ command touch /tmp/planted (tool stock, reads)" in shown.stdout
    refused = run_cli(suite, "fleet", "apply", str(folder))
    assert refused.returncode == 1
    assert "TRUNKLINE_MCP_COMMANDS" in refused.stderr
    assert suite.get("/v1/ops/fleet")["version"] == before
