"""Messages to the watchdog of systemd: sent while the event loop turns, by the process that is meant alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_chassis.settings import SystemdSettings
from trunkline_chassis.watchdog import Watchdog

INTERVAL_US = 200_000


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The receiving socket of a service manager, and the environment that it gives to a process."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@trunkline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.setblocking(False)
        yield receiver, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(INTERVAL_US), "WATCHDOG_PID": str(os.getpid())}


@contextlib.contextmanager
def watchdog(environment: dict[str, str]) -> Iterator[None]:
    """Run the watchdog of a process with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        running = Watchdog(SystemdSettings())
    with running:
        yield


def received(receiver: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(receiver.recv(100))
        except BlockingIOError:
            return found


async def test_messages_are_sent_while_the_loop_turns(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    """And none while it stands still, nor after the end."""
    receiver, environment = systemd
    with watchdog(environment):
        async with asyncio.timeout(20):
            found: list[bytes] = []
            while len(found) < 3:
                await asyncio.sleep(0.01)
                found += received(receiver)
        assert set(found) == {b"WATCHDOG=1"}
        time.sleep(2 * INTERVAL_US / 1e6)  # noqa: ASYNC251 - the loop that stands still
        assert received(receiver) == []
    await asyncio.sleep(INTERVAL_US / 1e6)
    assert received(receiver) == []


@pytest.mark.parametrize(
    "changed",
    [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"NOTIFY_SOCKET": ""}],
    ids=["a child", "no interval", "no socket"],
)
async def test_process_that_is_not_watched_sends_nothing(
    systemd: tuple[socket.socket, dict[str, str]], changed: dict[str, str]
) -> None:
    """Such as a parser that a watched process has started."""
    receiver, environment = systemd
    with watchdog(environment | changed):
        await asyncio.sleep(INTERVAL_US / 1e6)
        assert received(receiver) == []


async def test_manager_that_is_away_is_no_fault(tmp_path: Path) -> None:
    """It is restarted itself, such as by an update."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "missing"), "WATCHDOG_USEC": str(INTERVAL_US)}
    with watchdog(environment):
        await asyncio.sleep(INTERVAL_US / 1e6)
