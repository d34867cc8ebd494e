"""Imports point one way. A contract that cannot break is worth nothing: each is shown to bite."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
SOURCES = [*ROOT.glob("libs/*/src/*"), *ROOT.glob("services/*/src/*"), *ROOT.glob("cli/src/*")]
PACKAGES = [source for source in SOURCES if source.is_dir()]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts over the packages in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All packages side by side, to be spoilt."""
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__", "page"))
    return tmp_path


def test_every_package_of_the_workspace_is_under_contract() -> None:
    """A new service that nobody lists would not be checked, and nobody would notice."""
    assert {package.name for package in PACKAGES} == set(SETTINGS["root_packages"])


def test_contracts_hold() -> None:
    """For the code as it is."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "spoilt", "contract"),
    [
        ("trunkline_rag/app.py", "import trunkline_audit", "Services never import each other"),
        ("trunkline_chassis/bus.py", "import trunkline_ingress", "Services never import each other"),
        ("trunkline_protocols/ids.py", "import trunkline_chassis", "Services never import each other"),
        ("trunkline_conversation/core/state.py", "from trunkline_conversation import app", "Inside a service"),
        ("trunkline_agents/ports.py", "from trunkline_agents.adapters import nats", "Inside a service"),
        ("trunkline_conversation/core/decisions.py", "import asyncio", "Cores know neither"),
        ("trunkline_ingress/core/ledger.py", "import time", "Cores know neither"),
        ("trunkline_protocols/turn.py", "import pydantic", "need msgspec and the standard library only"),
    ],
)
def test_contract_bites(copy: Path, module: str, spoilt: str, contract: str) -> None:
    """One forbidden import, and the contract that forbids it is broken."""
    file = copy / module
    file.write_text(file.read_text() + f"\n{spoilt}\n")
    done = lint(copy)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), done.stdout
