"""One port per node has the metrics of all its processes."""

from __future__ import annotations

import re
import subprocess
import urllib.request

import pytest

from tests.support.monitoring import program
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

UP = re.compile(r'trunkline_process_up\{[^}]*process="([^"]+)"[^}]*\} ([01])')


def page(suite: Suite) -> str:
    """Return the metrics page of the node."""
    url = suite.status()["supervisor"]["detail"]["metrics"]
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own server
        return str(response.read().decode())


def test_page_of_the_node_has_every_process(suite: Suite) -> None:
    """With the labels of each; a turn is counted."""
    assert run_cli(suite, "ask", "I was charged twice for my order, can I get a refund?").returncode == 0
    text = page(suite)
    expected = {name for name, process in suite.status().items() if process["service"] not in {"nats", "postgres"}}
    assert dict(UP.findall(text)) == dict.fromkeys(expected, "1")
    assert re.search(r'trunkline_turns_total\{[^}]*process="conversation-\d"[^}]*\} [1-9]', text)


def test_promtool_finds_nothing_wrong(suite: Suite) -> None:
    """Names, units, types and help texts follow the conventions of Prometheus."""
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=page(suite),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
