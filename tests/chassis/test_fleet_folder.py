"""The loader of the fleet folder: a valid folder is loaded, a defect is reported with file, line and reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import FleetError, load_fleet

FLEET = Path(__file__).parents[2] / "fleet"
REFUNDS = "agents/billing/billing-refunds.toml"
TOOL = 'name = "{name}"\ndescription = "Looks up an order."\nurl = "{url}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the demo fleet that a test may break."""
    return Path(shutil.copytree(FLEET, tmp_path / "fleet"))


def replace(folder: Path, name: str, old: str, new: str) -> int:
    """Replace a text in a file of the fleet and return its line number."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def add_tool(folder: Path, file: str, *, name: str, url: str = "https://shop.example/orders") -> None:
    (folder / "tools").mkdir(exist_ok=True)
    (folder / "tools" / file).write_text(TOOL.format(name=name, url=url), encoding="utf-8")


def defect_of(folder: Path) -> FleetError:
    with pytest.raises(FleetError) as raised:
        load_fleet(folder)
    return raised.value


def test_valid_folder_is_loaded(folder: Path) -> None:
    """Agents and tools come from their files, the company from fleet.toml."""
    add_tool(folder, "find-order.toml", name="find-order")
    fleet = load_fleet(folder)
    assert {agent.name for agent in fleet.agents} == {file.stem for file in folder.glob("agents/*/*.toml")}
    assert [tool.name for tool in fleet.tools] == ["find-order"]
    assert fleet.company.name


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "billing-refunds"', 'name = "refunds"', "name 'refunds' does not match the file name"),
        ('specialty = "billing"', 'specialty = "returns"', "specialty 'returns' does not match the folder name"),
        ('title = "', 'titel = "', "titel"),
        ('title = "', "title = ", ""),
        ("hand_off_to = [", 'hand_off_to = ["astrology", ', "astrology"),
    ],
)
def test_defect_of_an_agent_is_reported_with_its_line(folder: Path, old: str, new: str, reason: str) -> None:
    """The message starts with file and line, as editors and CI expect it."""
    line = replace(folder, REFUNDS, old, new)
    error = defect_of(folder)
    assert (error.file, error.line) == (folder / REFUNDS, line)
    assert reason in error.reason
    assert str(error) == f"{folder / REFUNDS}:{line}: {error.reason}"


@pytest.mark.parametrize(
    ("file", "name", "url", "reason"),
    [
        ("find-order.toml", "find", "https://shop.example/orders", "name 'find' does not match the file name"),
        ("consult.toml", "consult", "https://shop.example/orders", "name 'consult' is reserved for a built-in tool"),
        ("find-order.toml", "find-order", "shop.example", "url must start with http:// or https://"),
    ],
)
def test_defect_of_a_tool_is_reported(folder: Path, file: str, name: str, url: str, reason: str) -> None:
    add_tool(folder, file, name=name, url=url)
    error = defect_of(folder)
    assert error.file == folder / "tools" / file
    assert error.line > 0
    assert reason in error.reason


def test_missing_file_is_reported_without_a_line(folder: Path) -> None:
    (folder / "fleet.toml").unlink()
    error = defect_of(folder)
    assert (error.file, error.line) == (folder / "fleet.toml", 0)


def test_fleet_without_triage_is_rejected(folder: Path) -> None:
    """No single agent is at fault, so the folder of the agents is reported."""
    shutil.rmtree(folder / "agents" / "triage")
    error = defect_of(folder)
    assert (error.file, error.line) == (folder / "agents", 0)
    assert "triage" in error.reason
