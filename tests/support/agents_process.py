"""A further agents process beside those that the supervisor of a suite has started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.suite import Suite


@contextmanager
def agents(suite: Suite, instance: str, colour: str, *, module: str = "trunkline_agents") -> Iterator[psutil.Popen]:
    """Run one more agents process, as a unit of systemd does, with the settings of one that the supervisor started."""
    environment = psutil.Process(suite.pid("agents-1")).environ()
    environment |= {"TRUNKLINE_INSTANCE": instance, "TRUNKLINE_COLOUR": colour, "TRUNKLINE_HTTP_PORT": "0"}
    with (suite.data_dir / f"{instance}.log").open("ab") as output:
        process = psutil.Popen(
            [sys.executable, "-m", module], env=environment, cwd=Path(__file__).parents[2], stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
