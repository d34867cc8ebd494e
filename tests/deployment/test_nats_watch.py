"""The watch of a NATS server on a host: it ends the server exactly when a restart helps."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from trunkline_supervisor.adapters.tcp import free_port

from tests.faults.disk import mounted
from tests.support.monitoring import ROOT
from tests.support.suite import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
SCRIPT = ROOT / "ansible" / "roles" / "nats" / "templates" / "usr" / "local" / "sbin" / "nats-watch.j2"
SERVER = Path(sys.executable).parent / "nats-server"


@contextlib.contextmanager
def watched_server(folder: Path, store: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a server and its watch, which is ten times as fast as on a host; yield the server and its URL."""
    port, monitor = free_port(), free_port()
    command = [str(SERVER), "-js", "-sd", str(store), "-a", "127.0.0.1", "-p", str(port), "-m", str(monitor)]
    program = re.sub(r"^(INTERVAL_S|START_S) = .*$", r"\1 = 0.2", SCRIPT.read_text(), flags=re.MULTILINE)
    (folder / "watch.py").write_text(program)
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until(lambda: b"Server is ready" in (folder / "log").read_bytes(), "the server is ready", timeout_s=30)
            watch = [sys.executable, str(folder / "watch.py"), f"http://127.0.0.1:{monitor}", str(store)]
            with subprocess.Popen([*watch, "kill", "-KILL", str(server.pid)]) as watching:
                try:
                    yield server, f"nats://127.0.0.1:{port}"
                finally:
                    watching.kill()
        finally:
            server.kill()


async def test_server_is_left_alone_until_there_is_room_again(tmp_path: Path) -> None:
    """A restart on a full disk would end all connections for nothing; afterwards nothing else helps."""
    with mounted(tmp_path / "store", mib=64) as disk:
        if disk is None:
            pytest.skip("mounting a small disk is not allowed here")
        with watched_server(tmp_path, disk.folder) as (server, url):
            client = await nats.connect(url)
            stream = client.jetstream(timeout=5)
            await stream.add_stream(name="A", subjects=["a"])
            disk.fill()
            with contextlib.suppress(nats.errors.Error):
                while True:
                    await stream.publish("a", secrets.token_bytes(100_000))
            await asyncio.sleep(3)
            assert server.poll() is None
            disk.clear()
            await client.close()
            await asyncio.to_thread(wait_until, lambda: server.poll() is not None, "it is ended", timeout_s=60)


async def test_frozen_server_is_ended(tmp_path: Path) -> None:
    """It holds its port, and answers nothing."""
    with watched_server(tmp_path, tmp_path) as (server, _):
        await asyncio.sleep(3)
        assert server.poll() is None, "a healthy one is left alone"
        server.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(wait_until, lambda: server.poll() is not None, "it is ended", timeout_s=60)
