"""Import contracts hold, and each of them detects a violation planted in a copy of the packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = [contract["name"] for contract in SETTINGS["contracts"]]
PACKAGES_POINT_ONE_WAY, SERVICE_LAYERS, PURE_CORE, SMALL_PROTOCOLS = CONTRACTS
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
    """Copy all packages into one folder, for a violation to be planted."""
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__", "page"))
    return tmp_path


def broken_contracts(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the names of the broken contracts; the report wraps long names, so that white space is collapsed first."""
    text = " ".join(done.stdout.split("Contracts: ")[0].split())
    return [name for name in CONTRACTS if f"{name} BROKEN" in text]


def test_every_package_of_the_workspace_is_under_contract() -> None:
    """A package that is not listed would not be checked."""
    assert {package.name for package in PACKAGES} == set(SETTINGS["root_packages"])


def test_every_service_has_the_layers_and_a_pure_core() -> None:
    """A service that is missing in one of the contracts would not be checked."""
    services = {package.name for package in PACKAGES if package.is_relative_to(ROOT / "services")}
    contracts = {contract["id"]: contract for contract in SETTINGS["contracts"]}
    assert services == set(contracts["service-layers"]["containers"])
    commands = {f"trunkline_cli.{name}.core" for name in ("fleet", "capacity", "bench.load")}
    cores = {f"{service}.core" for service in services} | commands
    assert cores == set(contracts["pure-core"]["source_modules"])


def test_contracts_hold() -> None:
    """For the code as it is."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "planted", "contract"),
    [
        ("trunkline_rag/app.py", "import trunkline_audit", PACKAGES_POINT_ONE_WAY),
        ("trunkline_chassis/bus.py", "import trunkline_ingress", PACKAGES_POINT_ONE_WAY),
        ("trunkline_protocols/ids.py", "import trunkline_chassis", PACKAGES_POINT_ONE_WAY),
        ("trunkline_conversation/core/state.py", "from trunkline_conversation import app", SERVICE_LAYERS),
        ("trunkline_agents/ports.py", "from trunkline_agents import adapters", SERVICE_LAYERS),
        ("trunkline_ingress/handlers/__init__.py", "from trunkline_ingress import adapters", SERVICE_LAYERS),
        ("trunkline_agents/handlers.py", "from trunkline_agents import adapters", SERVICE_LAYERS),
        ("trunkline_agents/handlers.py", "from trunkline_agents import settings", SERVICE_LAYERS),
        (
            "trunkline_conversation/application/__init__.py",
            "from trunkline_conversation import adapters",
            SERVICE_LAYERS,
        ),
        ("trunkline_supervisor/application/pool.py", "from trunkline_supervisor import adapters", SERVICE_LAYERS),
        ("trunkline_supervisor/core/blueprint.py", "from trunkline_supervisor import ports", SERVICE_LAYERS),
        ("trunkline_audit/application/recorder.py", "from trunkline_audit import adapters", SERVICE_LAYERS),
        ("trunkline_audit/adapters/postgres.py", "from trunkline_audit import settings", SERVICE_LAYERS),
        ("trunkline_conversation/core/decisions.py", "import asyncio", PURE_CORE),
        ("trunkline_ingress/core/ledger.py", "import time", PURE_CORE),
        ("trunkline_supervisor/core/health.py", "import structlog", PURE_CORE),
        ("trunkline_llm_gateway/core/retries.py", "import random", PURE_CORE),
        ("trunkline_ingress/core/delta_filter.py", "import secrets", PURE_CORE),
        ("trunkline_audit/core/records.py", "import psycopg", PURE_CORE),
        ("trunkline_cli/bench/load/core/schedule.py", "import random", PURE_CORE),
        ("trunkline_cli/fleet/core/check.py", "from trunkline_chassis import fleet_folder", PURE_CORE),
        ("trunkline_protocols/turn.py", "import pydantic", SMALL_PROTOCOLS),
    ],
)
def test_forbidden_import_breaks_its_contract(copy: Path, module: str, planted: str, contract: str) -> None:
    """One planted import breaks the contract that forbids it."""
    file = copy / module
    file.write_text(file.read_text() + f"\n{planted}\n")
    done = lint(copy)
    assert done.returncode != 0
    assert contract in broken_contracts(done), done.stdout


@pytest.mark.parametrize("package", ["trunkline_conversation", "trunkline_supervisor", "trunkline_audit"])
def test_module_outside_the_layers_breaks_the_contract(copy: Path, package: str) -> None:
    """The layers are exhaustive: a new module has to be in one of them."""
    (copy / package / "helpers.py").write_text('"""A module in no layer."""\n')
    done = lint(copy)
    assert done.returncode != 0
    assert f"{package}.helpers" in done.stdout, done.stdout


@pytest.mark.parametrize("package", ["trunkline_supervisor", "trunkline_audit"])
def test_ports_are_mandatory(copy: Path, package: str) -> None:
    """A service without `ports.py` is reported."""
    (copy / package / "ports.py").unlink()
    done = lint(copy)
    assert done.returncode != 0
    assert f"{package}.ports" in " ".join((done.stdout + done.stderr).split()), done.stdout + done.stderr
