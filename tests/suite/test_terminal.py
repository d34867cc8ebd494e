"""The command line in a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from contextlib import suppress

import pytest

from tests.support.suite import Suite, run_cli, trunkline

pytestmark = pytest.mark.processes

TIMEOUT_S = 30.0


def test_ctrl_c_leaves_a_chat(suite: Suite) -> None:
    """While it waits for input: at once and without a traceback."""
    controller, terminal = pty.openpty()
    chat = subprocess.Popen(
        [trunkline(), "chat", "--url", suite.url],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=set_controlling_terminal,  # noqa: PLW1509 - safe: it only makes system calls
    )
    os.close(terminal)
    shown = b""
    while b"you> " not in shown:
        shown += os.read(controller, 1024)
    os.write(controller, b"\x03")
    with suppress(OSError):  # the terminal closes with its last process
        while piece := os.read(controller, 1024):
            shown += piece
    assert chat.wait(TIMEOUT_S) == 130
    assert b"Traceback" not in shown
    os.close(controller)


def set_controlling_terminal() -> None:
    """Make standard input the terminal whose Ctrl-C signals this process."""
    os.setsid()
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def test_person_is_requested_in_a_chat(suite: Suite) -> None:
    """The command `/person` is not sent as text."""
    chat = subprocess.run(
        [trunkline(), "chat", "--url", suite.url],
        input="/person\n\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert chat.returncode == 0, chat.stderr
    assert "escalated (normal), position" in chat.stdout


def test_ask_prints_the_command_for_its_trace(suite: Suite) -> None:
    """The command works even if the message contains markup of the terminal library."""
    done = run_cli(suite, "ask", "I was charged twice [/] for [bold] my order")
    assert done.returncode == 0, done.stderr
    conversation = re.search(r"trunkline trace (\S+)", done.stdout)
    assert conversation is not None
    traced = run_cli(suite, "trace", conversation[1])
    assert traced.returncode == 0, traced.stderr
    assert "[/] for [bold]" in traced.stdout


def test_search_without_a_hit_prints_a_line(suite: Suite) -> None:
    """Empty output would look like an error."""
    assert run_cli(suite, "kb", "search", "zzyzx").stdout == "nothing found\n"


def test_invalid_conversation_id_is_refused(suite: Suite) -> None:
    """One line, with the id as given."""
    traced = run_cli(suite, "trace", "a/b")
    assert traced.returncode == 1
    assert "got 'a/b'" in traced.stderr
    assert traced.stderr.count("\n") == 1
