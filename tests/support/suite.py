"""A complete suite for tests: `trunkline up` in a separate process with a private data directory."""

from __future__ import annotations

import configparser
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import psutil

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0

TOGETHER = {"TRUNKLINE_AGENT_GROUPS": "together"}
"""As on a small machine, whatever this one has."""
AGENTS = ("agents-1", "agents-2")
"""The agents processes of such a suite."""
SEPARATE = {"TRUNKLINE_AGENT_GROUPS": "separate"}
"""For a test that names the process of a specialty."""
PATIENT = {"TRUNKLINE_ADMISSION_TARGET_S": "10"}
"""No test but those of overload has its turns refused: a machine that runs tests is slow, which is no overload."""

_T = TypeVar("_T")


def of_each(processes: Iterable[psutil.Process], read: Callable[[psutil.Process], _T]) -> list[_T]:
    """Return what `read` says of each process that has not ended: a suite also runs commands of a moment."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(read(process))
    return found


class Suite:
    """A running suite."""

    def __init__(
        self,
        data_dir: Path,
        environment: dict[str, str] | None = None,
        *,
        nodes: int | None = None,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        """Start the suite and wait until it is ready.

        `nodes`: number of NATS servers, by default one. `prefix`: beginning of the command, which executes the rest;
        `options`: further options of `up`.
        """
        self.data_dir = data_dir
        self._environment = TOGETHER | PATIENT | (environment or {})
        data_dir.mkdir(parents=True, exist_ok=True)
        self._output = (data_dir / "up.log").open("w+")
        self._process = subprocess.Popen(
            [
                *(*prefix, trunkline(), "up", "--port", "0", "--data-dir", str(data_dir)),
                *(("--nodes", str(nodes)) if nodes is not None else ()),
                *options,
            ],
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
            start_new_session=True,
        )
        self.url = self._wait_ready()

    @property
    def supervisor_pid(self) -> int:
        """Process id of `trunkline up`."""
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all its descendants."""
        supervisor = psutil.Process(self.supervisor_pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def _wait_ready(self) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self._process.stdout], [], [], 0.5)
            line = self._process.stdout.readline() if readable else ""
            if line.startswith("ready "):
                self.console_link = self._process.stdout.readline().split()[1]
                return line.split()[1]
            if self._process.poll() is not None:
                break
        raise AssertionError(f"not ready: {(self.data_dir / 'up.log').read_text()}\n{self.logs()}")

    def logs(self) -> str:
        """Return the last log lines of every process."""
        return "\n".join(
            f"== {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-5:])
            for file in sorted((self.data_dir / "logs").glob("*.log"))
        )

    @property
    def operator_token(self) -> str:
        """The token of the operators' API."""
        return (self.data_dir / "secrets" / "operator").read_text()

    @property
    def operator_headers(self) -> dict[str, str]:
        """The header of the operator."""
        return {"Authorization": f"Bearer {self.operator_token}"}

    def get(self, path: str) -> Any:
        """Return the JSON response of a GET request of the operator."""
        request = urllib.request.Request(self.url + path, headers=self.operator_headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own server
            return msgspec.json.decode(response.read())

    def key_file(self) -> Path | None:
        """Return the wrapping key of the customers' texts, None if they are in clear."""
        file = self.data_dir / "secrets" / "customer-keys"
        return file if file.exists() else None

    def status(self) -> dict[str, Any]:
        """Return the processes of this suite, by their names on its node."""
        processes = self.get("/v1/ops/status")["processes"]
        nodes = {process["node"] for process in processes if process["pid"] == self.supervisor_pid}
        return {process["name"]: process for process in processes if process["node"] in nodes}

    def pid(self, name: str) -> int:
        """Return the id of a process."""
        return int(self.status()[name]["pid"])

    def kill(self, name: str) -> int:
        """Send SIGKILL to a process and return its id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """Stop the suite with SIGINT and return its exit status."""
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
        """Return the addresses of the NATS servers, embedded or external, for a user that may do everything."""
        if "TRUNKLINE_NATS_URL" in self._environment:
            return self._environment["TRUNKLINE_NATS_URL"]
        addresses = []
        for config in sorted((self.data_dir / "nats").rglob("nats.conf")):
            lines = config.read_text().splitlines()
            listen = next(line for line in lines if line.startswith("listen:"))
            addresses.append("nats://tests:tests@" + listen.split('"')[1])
            if self._add_test_user(config, lines):
                name = next(line for line in lines if line.startswith("server_name:")).split()[1]
                os.kill(self.pid(name), signal.SIGHUP)
                address = listen.split('"')[1]
                wait_until(partial(_accepts_test_user, address), f"{name} reloaded its accounts")
        return ",".join(addresses)

    @staticmethod
    def _add_test_user(config: Path, lines: list[str]) -> bool:
        """Add a user without limits to a server's accounts; False if it is there. The server reloads on SIGHUP."""
        at = next(number for number, line in enumerate(lines) if line.startswith("accounts:"))
        accounts = msgspec.json.decode(lines[at].removeprefix("accounts:"))
        users = accounts["TRUNKLINE"]["users"]
        if any(user["user"] == "tests" for user in users):
            return False
        users.append({"user": "tests", "password": "tests"})
        lines[at] = f"accounts: {msgspec.json.encode(accounts).decode()}"
        config.write_text("\n".join(lines) + "\n")
        return True

    def postgres_dsn(self) -> str:
        """Return the address of PostgreSQL, embedded or configured."""
        if "TRUNKLINE_POSTGRES_DSN" in self._environment:
            return self._environment["TRUNKLINE_POSTGRES_DSN"]
        service = configparser.ConfigParser(interpolation=None)
        service.read(self.data_dir / "secrets" / "pg_service.conf")
        values = service["trunkline"]
        host = quote(values["host"], safe="")
        return (
            f"postgresql://{values['user']}:{values['password']}@/{values['dbname']}?host={host}&port={values['port']}"
        )


def _accepts_test_user(address: str) -> bool:
    """Log in to a nats-server; it confirms a verbose CONNECT."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b'CONNECT {"verbose":true,"user":"tests","pass":"tests"}\r\n')
        received = b""
        while b"+OK" not in received and b"-ERR" not in received:
            chunk = connection.recv(4096)
            if not chunk:
                return False
            received += chunk
    return b"+OK" in received


def trunkline() -> str:
    """Return the path of the `trunkline` command of this environment."""
    return str(Path(sys.executable).parent / "trunkline")


def run_cli(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `trunkline` command against a suite, with the operator's token of its data folder."""
    return subprocess.run(
        [trunkline(), *arguments, "--url", suite.url],
        env={**os.environ, "TRUNKLINE_DATA_DIR": str(suite.data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_until(condition: Callable[[], bool], description: str, timeout_s: float = 30.0) -> None:
    """Wait for a condition; a timeout fails with the description.

    An unreachable suite counts as not meeting it, and a status without a process: during an election, the supervisor's
    part of it may be missing.
    """
    deadline = time.monotonic() + timeout_s
    while not _holds(condition):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {description}"
        time.sleep(0.05)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (OSError, KeyError):
        return False
