"""A whole suite as a user starts it: `trunkline up` in a process of its own, with a data directory of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
from trunkline_supervisor.adapters.postgres import dsn

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


class Suite:
    """A running suite."""

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None, *, nodes: int | None = None) -> None:
        """Start it and wait until it says `ready`; `nodes` NATS servers, one unless said otherwise."""
        self.data_dir = data_dir
        self._given = environment or {}
        data_dir.mkdir(parents=True, exist_ok=True)
        self._output = (data_dir / "up.log").open("w+")
        self._process = subprocess.Popen(
            [
                *(trunkline(), "up", "--port", "0", "--data-dir", str(data_dir)),
                *(("--nodes", str(nodes)) if nodes is not None else ()),
            ],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
            start_new_session=True,
        )
        self.url = self._wait_ready()

    def _wait_ready(self) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self._process.stdout], [], [], 0.5)
            line = self._process.stdout.readline() if readable else ""
            if line.startswith("ready "):
                return line.split()[1]
            if self._process.poll() is not None:
                break
        raise AssertionError(f"not ready: {(self.data_dir / 'up.log').read_text()}\n{self.logs()}")

    def logs(self) -> str:
        """The last lines of every process."""
        return "\n".join(
            f"== {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-5:])
            for file in sorted((self.data_dir / "logs").glob("*.log"))
        )

    def get(self, path: str) -> Any:
        """Ask over HTTP."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:  # noqa: S310 - our own server
            return msgspec.json.decode(response.read())

    def status(self) -> dict[str, Any]:
        """The supervision tree, by instance."""
        return {process["instance"]: process for process in self.get("/v1/ops/status")["processes"]}

    def pid(self, instance: str) -> int:
        """Process id of an instance."""
        return int(self.status()[instance]["pid"])

    def kill(self, instance: str) -> int:
        """Kill -9; returns the pid that died."""
        pid = self.pid(instance)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            left = [child.cmdline() for child in psutil.Process(self._process.pid).children()]
            self._process.kill()
            raise AssertionError(f"not stopped within {STOP_TIMEOUT_S:g} s; left: {left}\n{self.logs()}") from None
        finally:
            self._output.close()

    def nats_url(self) -> str:
        """Addresses of the NATS servers, embedded or given."""
        if "TRUNKLINE_NATS_URL" in self._given:
            return self._given["TRUNKLINE_NATS_URL"]
        addresses = []
        for config in sorted((self.data_dir / "nats").rglob("nats.conf")):
            lines = config.read_text().splitlines()
            listen = next(line for line in lines if line.startswith("listen:"))
            addresses.append("nats://" + listen.split('"')[1])
        return ",".join(addresses)

    def postgres_dsn(self) -> str:
        """Address of PostgreSQL, embedded or given."""
        if "TRUNKLINE_POSTGRES_DSN" in self._given:
            return self._given["TRUNKLINE_POSTGRES_DSN"]
        arguments = psutil.Process(self.pid("postgres-1")).cmdline()
        return dsn(int(arguments[arguments.index("-p") + 1]))


def trunkline() -> str:
    """The command beside this interpreter."""
    return str(Path(sys.executable).parent / "trunkline")


def run_cli(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command against a suite."""
    return subprocess.run(
        [trunkline(), *arguments, "--url", suite.url], capture_output=True, text=True, timeout=60, check=False
    )


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for a condition; its failure names what was waited for. A suite that cannot be asked does not meet it."""
    deadline = time.monotonic() + timeout_s
    while not _holds(condition):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:
        return False
