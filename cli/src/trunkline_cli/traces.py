"""`trunkline trace`: the messages of one conversation."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import msgspec
from rich.markup import escape
from rich.table import Table

from trunkline_cli.client import get
from trunkline_cli.options import short
from trunkline_cli.settings import ClientSettings

_MAX_SUMMARY_CHARACTERS = 200


class ConversationStep(msgspec.Struct):
    """One message of a conversation. `at` in Unix seconds, `ms` = duration of the step."""

    at: float
    to: str
    subject: str
    type: str
    ms: float
    summary: str
    detail: dict[str, Any]
    from_: str = msgspec.field(name="from")


class ConversationTrace(msgspec.Struct):
    """All messages of one conversation, in time order."""

    conversation: str
    steps: list[ConversationStep]
    archives: list[str] = []
    """Names of the archives that it was read from."""


def read_trace(settings: ClientSettings, conversation: str) -> ConversationTrace:
    """Return the trace of a conversation."""
    return get(settings, f"/v1/ops/trace/{quote(conversation, safe='')}", ConversationTrace)


def trace_table(trace: ConversationTrace) -> Table:
    """Return a trace as a table, one step per row."""
    archived = f" (archived: {', '.join(trace.archives)})" if trace.archives else ""
    table = Table(title=f"{trace.conversation}{archived}", title_justify="left", box=None, pad_edge=False)
    for heading in ("time", "from", "to", "type"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("summary", overflow="fold")
    for step in trace.steps:
        at = time.strftime("%H:%M:%S", time.localtime(step.at)) + f".{int(step.at * 1000) % 1000:03d}"
        summary = escape(short(step.summary, _MAX_SUMMARY_CHARACTERS))
        table.add_row(at, step.from_, step.to, step.type, f"{step.ms:.1f}", summary)
    return table
