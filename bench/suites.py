"""A suite of a bench: started with its own data folder, stopped with the block."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READY_TIMEOUT_S: Final = 330.0
"""A little more than the supervisor's own timeout, which is reported in its log."""
_STOP_TIMEOUT_S: Final = 120.0


class SuiteError(Exception):
    """A suite, or a command for it, that failed; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class BenchSuite:
    """A running suite."""

    url: str
    data_dir: Path

    def run(self, arguments: Sequence[str], timeout_s: float) -> str:
        """Run a `trunkline` command on it and return its output; raise `SuiteError` if it fails or takes too long."""
        environment = {**os.environ, "TRUNKLINE_DATA_DIR": str(self.data_dir), "TRUNKLINE_URL": self.url}
        command = [_trunkline(), *arguments]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SuiteError(f"trunkline {arguments[0]} took over {timeout_s:g} s") from error
        if done.returncode:
            raise SuiteError(done.stderr.strip()[-500:])
        return done.stdout


@contextmanager
def running_suite(data_dir: Path, environment: Mapping[str, str], options: Sequence[str] = ()) -> Iterator[BenchSuite]:
    """Run `trunkline up` on a free port for the block."""
    data_dir.mkdir(parents=True)
    log_file = data_dir.with_suffix(".log")
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [_trunkline(), "up", "--port", "0", "--data-dir", str(data_dir), *options],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield BenchSuite(_wait_until_ready(process, log_file), data_dir)
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[str], log_file: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        readable, _, _ = select.select([process.stdout], [], [], 0.5)
        line = process.stdout.readline() if readable else ""
        if line.startswith("ready "):
            return line.split()[1]
    raise SuiteError(f"the suite is not ready: {log_file.read_text(encoding='utf-8')[-500:]}")


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _trunkline() -> str:
    return str(Path(sys.executable).parent / "trunkline")
