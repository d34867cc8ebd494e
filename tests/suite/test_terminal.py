"""The command in a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from contextlib import suppress

import pytest

from tests.support.suite import Suite, run_cli, trunkline

pytestmark = pytest.mark.processes

PATIENCE_S = 30.0


def test_ctrl_c_leaves_a_chat(suite: Suite) -> None:
    """While it waits for a line; without a traceback, and without waiting for the line."""
    outside, inside = pty.openpty()
    chat = subprocess.Popen(
        [trunkline(), "chat", "--url", suite.url],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        preexec_fn=take_terminal,  # noqa: PLW1509 - safe: it only makes system calls
    )
    os.close(inside)
    shown = b""
    while b"you> " not in shown:
        shown += os.read(outside, 1024)
    os.write(outside, b"\x03")
    with suppress(OSError):  # the terminal is gone with its last process
        while piece := os.read(outside, 1024):
            shown += piece
    assert chat.wait(PATIENCE_S) == 130
    assert b"Traceback" not in shown
    os.close(outside)


def take_terminal() -> None:
    """Make the terminal the one that sends Ctrl-C to this process."""
    os.setsid()
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def test_ask_says_how_to_read_its_story(suite: Suite) -> None:
    """The command that it names works, whatever the customer wrote: brackets are text, not markup."""
    asked = run_cli(suite, "ask", "I was charged twice [/] for [bold] my order")
    assert asked.returncode == 0, asked.stderr
    conversation = re.search(r"trunkline trace (\S+)", asked.stdout)
    assert conversation is not None
    traced = run_cli(suite, "trace", conversation[1])
    assert traced.returncode == 0, traced.stderr
    assert "[/] for [bold]" in traced.stdout


def test_search_without_a_hit_says_so(suite: Suite) -> None:
    """Silence would look like a fault."""
    assert run_cli(suite, "kb", "search", "zzyzx").stdout == "nothing found\n"


def test_name_that_no_conversation_can_have_is_refused(suite: Suite) -> None:
    """One line, with the name as it was given."""
    traced = run_cli(suite, "trace", "a/b")
    assert traced.returncode == 1
    assert "got 'a/b'" in traced.stderr
    assert traced.stderr.count("\n") == 1
