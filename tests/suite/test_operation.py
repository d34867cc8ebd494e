"""A suite in operation: its logs, a second start on its folder, and secrets that a power cut has emptied."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.suite import Suite, run_cli, trunkline, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

RECIPE = Path(__file__).parents[2] / "deploy" / "logrotate" / "trunkline"
QUESTION = "I was charged twice for my order, can I get a refund?"
BAD = re.compile(r'"level": "(error|critical)"|\b(ERROR|FATAL|PANIC)\b|\[(ERR|FTL)\]|Traceback')
SERVERS = ("nats", "postgres")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the suites of this module."""
    return tmp_path_factory.mktemp("operation") / "data"


@pytest.fixture(scope="module")
def suite(folder: Path) -> Iterator[Suite]:
    """A suite after its first start."""
    running = Suite(folder)
    yield running
    assert running.stop() == 0


def logs(suite: Suite) -> dict[str, Path]:
    """Return the log files by instance."""
    return {file.stem: file for file in (suite.data_dir / "logs").glob("*.log")}


def up(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a suite that cannot start."""
    command = [trunkline(), "up", "--port", "0", "--data-dir", str(folder), *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line of a failed start."""
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


def test_healthy_start_logs_no_error(suite: Suite) -> None:
    """Otherwise an operator learns to ignore errors."""
    assert run_cli(suite, "ask", QUESTION).returncode == 0
    bad = [
        f"{name}: {line}"
        for name, file in logs(suite).items()
        for line in file.read_text(errors="replace").splitlines()
        if BAD.search(line)
    ]
    assert bad == []


def test_second_suite_on_the_same_folder_is_one_line(suite: Suite) -> None:
    """It changes nothing of the first one."""
    assert only_line(up(suite.data_dir)) == (
        f"trunkline: another suite runs in {suite.data_dir}; choose another one with --data-dir"
    )
    assert suite.status()["supervisor"]["state"] == "ready"


def test_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    line = only_line(up(tmp_path / "file" / "data"))
    assert line.startswith(f"trunkline: cannot use {tmp_path / 'file'}")


def test_nats_that_is_away_is_one_line(tmp_path: Path) -> None:
    """The address of the operator's server, and no process is started."""
    port = free_port()
    line = only_line(up(tmp_path / "data", TRUNKLINE_NATS_URL=f"nats://127.0.0.1:{port}"))
    assert line.startswith(f"trunkline: no NATS server at nats://127.0.0.1:{port}")
    assert {file.stem for file in (tmp_path / "data" / "logs").glob("*.log")} <= {"supervisor", "postgres-1"}


def test_hangup_opens_renamed_logs_again(suite: Suite) -> None:
    """Nothing ends, and later lines go into new files."""
    pids = {name: process["pid"] for name, process in suite.status().items()}
    rotated = {name: file for name, file in logs(suite).items() if not name.startswith(SERVERS)}
    for file in rotated.values():
        file.rename(file.with_suffix(".log.1"))
    os.kill(int((suite.data_dir / "lock").read_text()), signal.SIGHUP)
    for name, file in rotated.items():
        wait_until(file.exists, f"{name} has opened its log again")
    instance = next(name for name in rotated if "llm_gateway-1" in name)
    pid = suite.kill(instance)
    wait_until(lambda: suite.pid(instance) not in {0, pid}, "the gateway is restarted", 60)
    supervisor = next(file for name, file in rotated.items() if "supervisor" in name)
    wait_until(lambda: "child.died" in supervisor.read_text(), "the supervisor logs into its new file")
    assert {file.stat().st_mode & 0o777 for file in rotated.values()} == {0o640}
    after = {name: process["pid"] for name, process in suite.status().items()}
    assert {name for name in pids if after[name] != pids[name]} == {instance}


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed")
def test_recipe_is_accepted_and_covers_every_log(suite: Suite, tmp_path: Path) -> None:
    """In a dry run, every file is considered once."""
    text = RECIPE.read_text().replace("/var/lib/trunkline", str(suite.data_dir))
    config = tmp_path / "trunkline"
    config.write_text(re.sub(r"^\s*su .*$", "", text, flags=re.MULTILINE))
    config.chmod(0o644)
    command = [str(shutil.which("logrotate")), "--debug", "--state", str(tmp_path / "state"), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    considered = re.findall(r"considering log (\S+)", done.stderr)
    assert sorted(considered) == sorted(str(file) for file in logs(suite).values())


def test_secrets_that_a_power_cut_has_emptied_are_drawn_again(suite: Suite, folder: Path) -> None:
    """The last test of the module: the suite starts with new ones and answers.

    Not the key of customers' texts, which nothing replaces.
    """
    assert suite.stop() == 0
    for file in (folder / "secrets").rglob("*"):
        if file.is_file() and file.name != "customer-keys":
            file.write_text("")
    again = Suite(folder)
    try:
        assert run_cli(again, "ask", QUESTION).returncode == 0
        wait_until(lambda: again.status()["postgres-1"]["state"] == "ready", "PostgreSQL is ready")
        audit = next(process for name, process in again.status().items() if name.endswith("audit-1"))
        wait_until(lambda: again.status()[audit["instance"]]["detail"].get("archive") == "recording", "audit records")
    finally:
        assert again.stop() == 0
