"""Reading a fleet folder for its check, and the output of the check."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.core.findings import Finding, render
from trunkline_cli.fleet.folder_reader import read_fleet_folder
from trunkline_cli.fleet.folder_warnings import find_warnings

from tests.cli.fleet_files import ARTICLE, BOATS, PRICES, SENIOR, clean_files, line_with, write
from tests.support.suite import trunkline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet without findings that a test may break."""
    return write(tmp_path / "fleet", clean_files())


def run_check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `trunkline fleet check`; no suite is running."""
    command = [trunkline(), "fleet", "check", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_content_of_a_folder_is_what_its_files_hold(folder: Path) -> None:
    """Definitions and articles with their texts, other files by name only."""
    (folder / "knowledge" / "prices" / "photo.png").write_bytes(b"\xff")
    (folder / "agents" / "sales").mkdir()
    (folder / "agent").mkdir()
    content = read_fleet_folder(folder)
    texts = {file.path: file.text for file in content.files if file.text}
    assert texts == clean_files()
    assert {file.path for file in content.files} - texts.keys() == {"knowledge/prices/photo.png"}
    assert content.empty_folders == ("agents/sales",)
    assert content.other_folders == ("agent",)


def test_file_that_cannot_be_read_is_a_finding(folder: Path) -> None:
    """An agent or an article that is not UTF-8 is refused."""
    (folder / BOATS).write_bytes(b"\xff")
    (folder / SENIOR).unlink()
    (folder / SENIOR).symlink_to("nowhere")
    (folder / PRICES).write_bytes(
        ARTICLE.format(name="prices", topic="prices").encode() + "Preisüberblick".encode("latin-1")
    )
    found = {(finding.severity, finding.file, finding.rule) for finding in check_folder(read_fleet_folder(folder))}
    assert found == {
        ("error", BOATS, "unreadable"),
        ("error", SENIOR, "unreadable"),
        ("error", PRICES, "unreadable"),
    }


def test_hidden_agent_is_checked_because_it_is_loaded(folder: Path) -> None:
    """File managers leave such copies behind."""
    (folder / "agents" / "rental" / "._boats.toml").write_bytes(b"\xff")
    (finding,) = check_folder(read_fleet_folder(folder))
    assert (finding.severity, finding.file) == ("error", "agents/rental/._boats.toml")


def test_linked_folder_of_agents_is_read_as_the_loader_does(folder: Path, tmp_path: Path) -> None:
    """Its specialty is known to the others."""
    (folder / BOATS).parent.rename(tmp_path / "shared")
    (folder / BOATS).parent.symlink_to(tmp_path / "shared")
    assert {agent.name for agent in load_fleet(folder).agents} == {"boats", "reception", "senior"}
    assert check_folder(read_fleet_folder(folder)) == []


def test_volume_of_a_container_has_no_findings(folder: Path) -> None:
    """Kubernetes mounts links to files in a hidden folder, which is itself behind a hidden link."""
    for name in (BOATS, PRICES):
        file = folder / name
        hidden = file.parent / "..2026_11_27"
        hidden.mkdir()
        file.rename(hidden / file.name)
        (file.parent / "..data").symlink_to(hidden.name)
        file.symlink_to(f"..data/{file.name}")
    assert check_folder(read_fleet_folder(folder)) == []


@pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
def test_folder_without_a_fleet_is_unusable(tmp_path: Path, name: str) -> None:
    """There is nothing to check."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError) as raised:
        read_fleet_folder(tmp_path / name)
    assert raised.value.exit_status == 2
    assert str(raised.value).startswith(str(tmp_path / name))


def test_command_prints_each_finding_with_its_place(folder: Path) -> None:
    """Exit status 0 without findings, 1 with one; JSON has the same findings."""
    clean = run_check(folder)
    assert (clean.returncode, clean.stdout, clean.stderr) == (0, "no findings\n", "")
    text = (folder / BOATS).read_text().replace('"triage"', '"triage", "astrology", "rental"')
    (folder / BOATS).write_text(text)
    line = line_with(text, "hand_off_to")
    shown = run_check(folder)
    assert shown.returncode == 1
    place = f"{folder}/{BOATS}:{line}"
    unknown = "hand_off_to names the unknown specialty 'astrology'"
    own = "an agent cannot hand over to its own specialty 'rental'"
    assert shown.stdout.splitlines() == [
        f"{place}: error: hand_off_to: {unknown} [inconsistent]",
        f"{place}: warning: hand_off_to: {own} [handoff-to-itself]",
        "1 error, 1 warning",
    ]
    printed = run_check(folder, "--json")
    assert printed.returncode == 1
    report = json.loads(printed.stdout)
    assert report["ok"] is False
    assert report["folder"] == str(folder)
    assert report["counts"] == {"error": 1, "warning": 1, "note": 0}
    assert [(one["severity"], one["file"], one["line"], one["key"], one["rule"]) for one in report["findings"]] == [
        ("error", BOATS, line, "hand_off_to", "inconsistent"),
        ("warning", BOATS, line, "hand_off_to", "handoff-to-itself"),
    ]


def test_command_refuses_a_folder_without_a_fleet_in_one_line(tmp_path: Path) -> None:
    """Exit status 2, nothing on stdout."""
    done = run_check(tmp_path, "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"trunkline: {tmp_path}: not a fleet")


def test_finding_cannot_write_to_the_terminal() -> None:
    """A file name or a value may hold control characters."""
    finding = Finding(severity="error", file="agents/\x1b[2K.toml", rule="r", message="got '\x07'")
    assert render(finding, "fleet") == "fleet/agents/\\x1b[2K.toml: error: got '\\x07' [r]"


def test_other_commands_show_at_most_ten_warnings(folder: Path) -> None:
    """Notes are left out, and the last line names the command that shows everything."""
    shutil.rmtree((folder / SENIOR).parent)
    assert find_warnings(folder) == []
    for number in range(12):
        (folder / f"settings-{number}.yaml").write_text("")
    lines = find_warnings(folder)
    assert len(lines) == 11
    assert all("[ignored-file]" in line for line in lines[:10])
    assert lines[-1] == f"2 more: trunkline fleet check {folder}"


def test_other_commands_report_an_unusable_folder_themselves(tmp_path: Path) -> None:
    """They have their own error for it."""
    assert find_warnings(tmp_path / "nowhere") == []


def test_start_does_not_wait_for_the_check_of_many_articles(folder: Path) -> None:
    """A line names the command instead."""
    for number in range(999):
        (folder / "knowledge" / "prices" / f"p{number}.md").write_text("---\nid: [\n---\n")
    assert find_warnings(folder) == [f"1001 articles are not checked here: trunkline fleet check {folder}"]
