"""`trunkline doctor` on a real nats-server: it reports drift and obstacles, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import seed_fleet
from trunkline_chassis.provision import provision
from trunkline_cli.doctor.machine import examine_folder, examine_port, examine_variables
from trunkline_supervisor.adapters.folder_lock import exclusive_lock
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.nats import nats_server
from tests.support.suite import trunkline

FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
Change = Callable[[Bus], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that is private to these tests."""
    with nats_server(tmp_path_factory.mktemp("nats")) as address:
        yield address


def prepare(url: str, change: Change) -> None:
    """Provision the server, publish the fleet, and change something."""

    async def run() -> None:
        bus = await connect(url, "test")
        await provision(bus, region="local", specialties=FLEET.specialties, replicas=1)
        await seed_fleet(bus, FLEET, by="test")
        await change(bus)
        await bus.close()

    asyncio.run(run())


def doctor(url: str, folder: Path, **variables: str) -> tuple[int, list[dict[str, str]]]:
    """Run the command; return its exit status and its findings."""
    environment = {
        "TRUNKLINE_NATS_URL": url,
        "TRUNKLINE_HTTP_PORT": "0",
        "TRUNKLINE_DATA_DIR": str(folder),
        **variables,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    command = [trunkline(), "doctor", "--json"]
    done = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout, done.stderr
    findings: list[dict[str, str]] = msgspec.json.decode(done.stdout)["findings"]
    return done.returncode, findings


def at_level(findings: list[dict[str, str]], level: str) -> list[str]:
    """Return the texts of a level."""
    return [each["text"] for each in findings if each["level"] == level]


async def leave(_: Bus) -> None:
    """Change nothing."""


@pytest.mark.processes
def test_server_in_order_has_no_finding(url: str, tmp_path: Path) -> None:
    """Version, fleet and streams are shown, and the exit status is 0."""
    prepare(url, leave)
    status, findings = doctor(url, tmp_path)
    assert (status, at_level(findings, "error"), at_level(findings, "note")) == (0, [], [])
    assert any("nats-server 2." in text for text in at_level(findings, "ok"))
    assert "as specified" in at_level(findings, "ok")


@pytest.mark.processes
def test_choice_of_the_operator_is_a_note(url: str, tmp_path: Path) -> None:
    """It keeps nothing from working."""

    async def enlarge(bus: Bus) -> None:
        config = (await bus.api("STREAM.INFO.INBOX"))["config"]
        await bus.api("STREAM.UPDATE.INBOX", config | {"max_bytes": 10**9})

    prepare(url, enlarge)
    status, findings = doctor(url, tmp_path)
    assert (status, at_level(findings, "error")) == (0, [])
    [note] = at_level(findings, "note")
    assert note.startswith("INBOX: max_bytes is 1000000000, specified -1")


@pytest.mark.processes
def test_missing_stream_is_an_error_and_stays_missing(url: str, tmp_path: Path) -> None:
    """The exit status is 1, and the doctor creates nothing."""

    async def delete(bus: Bus) -> None:
        await bus.api("STREAM.DELETE.WORK")

    prepare(url, delete)
    for _ in range(2):
        status, findings = doctor(url, tmp_path)
        assert status == 1
        [error] = at_level(findings, "error")
        assert error.startswith("stream WORK is missing")


@pytest.mark.processes
def test_unreachable_server_is_an_error(tmp_path: Path) -> None:
    """With its address."""
    port = free_port()
    status, findings = doctor(f"nats://127.0.0.1:{port}", tmp_path, TRUNKLINE_INBOX_AGE="1")
    assert status == 1
    [error] = at_level(findings, "error")
    assert error.startswith(f"no NATS server at nats://127.0.0.1:{port}")
    assert any("TRUNKLINE_INBOX_AGE is not a setting" in text for text in at_level(findings, "note"))


def test_misspelt_variable_is_named_with_the_similar_one() -> None:
    """Secrets of tools have free names."""
    known = {"TRUNKLINE_NATS_URL", "TRUNKLINE_REPLICAS"}
    given = ["TRUNKLINE_NATS_ULR", "TRUNKLINE_SECRET_SHOP", "TRUNKLINE_REPLICAS", "PATH"]
    [finding] = examine_variables(given, known)
    assert finding.text == "TRUNKLINE_NATS_ULR is not a setting; is it TRUNKLINE_NATS_URL?"


def test_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    [finding] = examine_folder(tmp_path / "file" / "data")
    assert (finding.level, finding.part) == ("error", "data folder")


def test_empty_secret_is_a_note(tmp_path: Path) -> None:
    """A power cut can leave one."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "resume").write_text("")
    assert "secret resume is empty: the next start draws it" in [each.text for each in examine_folder(tmp_path)]


def test_port_in_use_is_an_error_unless_the_own_suite_serves_it(tmp_path: Path) -> None:
    """The lock of the data folder shows it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert examine_port(port, tmp_path).level == "error"
        with exclusive_lock(tmp_path):
            assert examine_port(port, tmp_path).level == "ok"
