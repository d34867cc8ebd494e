"""The watch of a NATS server on a host: it ends the server exactly when a restart helps."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest
from trunkline_supervisor.adapters import probes
from trunkline_supervisor.adapters.disk import MIN_FREE_BYTES
from trunkline_supervisor.adapters.tcp import free_port

from tests.faults.disk import mounted
from tests.support.monitoring import ROOT
from tests.support.suite import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
SCRIPT = ROOT / "ansible" / "roles" / "nats" / "templates" / "usr" / "local" / "sbin" / "nats-watch.j2"
SERVER = Path(sys.executable).parent / "nats-server"


@contextlib.contextmanager
def watched_server(
    folder: Path, store: Path, *, cluster: str = "", peers: Sequence[str] = ()
) -> Iterator[tuple[psutil.Popen, str]]:
    """Run a server and its watch, which is several times as fast as on a host; yield the server and its URL."""
    port, monitor = free_port(), free_port()
    (folder / "nats.conf").write_text(
        f'server_name: watched, listen: "127.0.0.1:{port}", http: "127.0.0.1:{monitor}"\n'
        f'jetstream {{ store_dir: "{store}" }}\n{cluster}'
    )
    with (folder / "log").open("wb") as log:
        server = psutil.Popen([str(SERVER), "-c", str(folder / "nats.conf")], stdout=log, stderr=log)
    try:
        wait_until(lambda: b"Server is ready" in (folder / "log").read_bytes(), "the server is ready", timeout_s=30)
        with watch(folder, f"http://127.0.0.1:{monitor}", store, server.pid, peers):
            yield server, f"nats://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            server.kill()
        server.wait()


@contextlib.contextmanager
def watch(folder: Path, url: str, store: Path, pid: int, peers: Sequence[str]) -> Iterator[None]:
    """Run the watch with a `systemctl` that sends its signals to one process."""
    program = re.sub(r"^(INTERVAL_S|START_S) = \S+", r"\1 = 0.2", SCRIPT.read_text(), flags=re.MULTILINE)
    (folder / "watch.py").write_text(program)
    (folder / "systemctl").write_text(f'#!/bin/sh\nexec kill "-${{2#--signal=SIG}}" {pid}\n')
    (folder / "systemctl").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, str(folder / "watch.py"), url, str(store), "nats.service", *peers]
    with subprocess.Popen(command, env=environment) as watching:
        try:
            yield
        finally:
            watching.kill()


def test_hosts_and_supervisor_restart_for_the_same_reasons() -> None:
    """A host of brokers alone has no package of Trunkline, so that the watch repeats them."""
    constants = dict(re.findall(r"^(ENDED_BY_RESTART|MIN_FREE_BYTES) = (.*)$", SCRIPT.read_text(), flags=re.MULTILINE))
    assert ast.literal_eval(constants["ENDED_BY_RESTART"]) == probes.ENDED_BY_RESTART
    assert constants["MIN_FREE_BYTES"] == "32 * 2**20"
    assert MIN_FREE_BYTES == 32 * 2**20


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


@pytest.fixture
def unreachable() -> Iterator[list[socket.socket]]:
    """Two ports that answer nothing, as those of a host behind a cut network; once closed, they refuse."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(8):  # the queue of the listener is full
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            ports.append(listener)
        yield ports


def test_server_without_a_majority_is_stopped_until_one_can_be_reached(
    tmp_path: Path, unreachable: list[socket.socket]
) -> None:
    """Others elect leaders meanwhile, which its own elections would end when it comes back."""
    routes = [free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(running_peer(tmp_path, routes, number)) for number in (1, 2)]
        addresses = [f"127.0.0.1:{port.getsockname()[1]}" for port in unreachable]
        cluster = cluster_of(routes, 0)
        server, _ = stack.enter_context(watched_server(tmp_path, tmp_path, cluster=cluster, peers=addresses))
        time.sleep(6)
        assert server.status() != psutil.STATUS_STOPPED, "its peers are heard"
        for peer in peers:
            peer.kill()
        wait_until(lambda: server.status() == psutil.STATUS_STOPPED, "it is stopped", timeout_s=30)
        unreachable[0].close()
        wait_until(lambda: server.poll() is not None, "it is restarted", timeout_s=30)


def cluster_of(routes: list[int], number: int) -> str:
    """Return the part of the configuration that joins servers by their route ports."""
    others = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes if route != routes[number])
    return f'cluster {{ name: watched, listen: "127.0.0.1:{routes[number]}", routes: [{others}] }}\n'


@contextlib.contextmanager
def running_peer(folder: Path, routes: list[int], number: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run another server of the cluster."""
    config = folder / f"peer-{number}.conf"
    store = f'jetstream {{ store_dir: "{folder}/peer-{number}" }}'
    config.write_text(
        f'server_name: peer-{number}, listen: "127.0.0.1:{free_port()}"\n{store}\n{cluster_of(routes, number)}'
    )
    with (folder / f"peer-{number}.log").open("wb") as log:
        process = subprocess.Popen([str(SERVER), "-c", str(config)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
