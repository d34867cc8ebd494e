"""Settings from the environment: a renamed variable is refused, and an invalid one is reported in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError
from trunkline_chassis.settings import RENAMED, ProcessSettings, SettingsError
from trunkline_supervisor.settings import SuiteSettings

SERVICES = ["ingress", "conversation", "agents", "rag", "llm_gateway", "audit"]


def start(service: str, variable: str, value: str) -> subprocess.CompletedProcess[str]:
    """Start a service alone with one variable in its environment."""
    command = [sys.executable, "-m", f"trunkline_{service}"]
    environment = {variable: value, "TRUNKLINE_SPECIALTY": "billing", "TRUNKLINE_RESUME_SECRET": "x" * 32}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("old", RENAMED)
def test_renamed_variable_is_refused_with_its_new_name(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check ignores case, as the settings do."""
    monkeypatch.setenv(old.lower(), "1")
    with pytest.raises(SettingsError, match=f"{old} is now {RENAMED[old]}$"):
        ProcessSettings()


def test_new_names_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new name must not be refused as the former name of another one."""
    for new in RENAMED.values():
        monkeypatch.setenv(new, "1")
    ProcessSettings()
    assert not RENAMED.keys() & set(RENAMED.values())


@pytest.mark.parametrize("service", SERVICES)
def test_service_started_alone_refuses_a_renamed_variable(service: str) -> None:
    """One line on stderr with both names, and an exit status that is not 0."""
    done = start(service, "TRUNKLINE_SNAPSHOT_URL", "s3://backups")
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "TRUNKLINE_SNAPSHOT_URL is now TRUNKLINE_BACKUP_URL" in line


def test_service_reports_an_invalid_value_in_one_line_without_the_value() -> None:
    """The value may be a secret."""
    done = start("audit", "TRUNKLINE_SHUTDOWN_TIMEOUT_S", "hush")
    assert done.returncode == 1
    assert done.stderr.startswith("trunkline: TRUNKLINE_SHUTDOWN_TIMEOUT_S: ")
    assert len(done.stderr.splitlines()) == 1
    assert "hush" not in done.stderr


@pytest.mark.parametrize("settings", [ProcessSettings, SuiteSettings])
def test_numbers_to_choose_from_are_read_from_text(
    settings: type[ProcessSettings | SuiteSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is text; the choices are numbers."""
    monkeypatch.setenv("TRUNKLINE_REPLICAS", "3")
    monkeypatch.setenv("TRUNKLINE_NODES", "3")
    read = settings()
    assert read.replicas == 3
    assert getattr(read, "nodes", 3) == 3


def test_limits_of_an_unknown_stream_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would leave the stream without its limit."""
    monkeypatch.setenv("TRUNKLINE_STREAM_LIMITS", '{"INBOX": {"max_age_s": 60}, "SNAPSHOTS": {"max_bytes": 1000000}}')
    assert ProcessSettings().stream_limits["INBOX"].max_age_s == 60
    monkeypatch.setenv("TRUNKLINE_STREAM_LIMITS", '{"INBOKS": {"max_age_s": 60}}')
    with pytest.raises(ValidationError, match="no stream or bucket INBOKS"):
        ProcessSettings()
    monkeypatch.setenv("TRUNKLINE_STREAM_LIMITS", '{"INBOX": {"max_age": 60}}')
    with pytest.raises(ValidationError, match="max_age"):
        ProcessSettings()
