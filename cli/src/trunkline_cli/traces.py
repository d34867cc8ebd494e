"""`trunkline trace`: the messages of one conversation."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import msgspec
from rich.markup import escape
from rich.table import Table
from trunkline_ingress.core.trace import TraceProof
from trunkline_protocols import codec

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
    stream: str = ""
    """Stream of the stored message that the step is from, and its sequence there."""
    sequence: int = 0
    leaf: int | None = None
    """Number of that message in the tree of records; null if it is not proven."""


class ConversationTrace(msgspec.Struct):
    """All messages of one conversation, in time order."""

    conversation: str
    steps: list[ConversationStep]
    archives: list[str] = []
    """Names of the archives that it was read from."""
    proof: TraceProof | None = None


def read_trace(settings: ClientSettings, conversation: str) -> ConversationTrace:
    """Return the trace of a conversation."""
    return get(settings, f"/v1/ops/trace/{quote(conversation, safe='')}", ConversationTrace)


def trace_table(trace: ConversationTrace, *, details: bool = False) -> Table:
    """Return a trace as a table, one step per row, with `details` each field of its record below it."""
    archived = f" (archived: {', '.join(trace.archives)})" if trace.archives else ""
    table = Table(title=f"{trace.conversation}{archived}", title_justify="left", box=None, pad_edge=False)
    for heading in ("time", "from", "to", "type"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("summary", overflow="fold")
    if trace.proof is not None:
        table.caption, table.caption_justify = escape(trace.proof.summary), "left"
    for step in trace.steps:
        at = time.strftime("%H:%M:%S", time.localtime(step.at)) + f".{int(step.at * 1000) % 1000:03d}"
        summary = escape(short(step.summary, _MAX_SUMMARY_CHARACTERS))
        table.add_row(at, step.from_, step.to, step.type, f"{step.ms:.1f}", summary)
        if details:
            record = {"record": f"{step.stream} {step.sequence}, {_leaf_text(step)}"}
            for name, value in (step.detail | record).items():
                table.add_row("", "", "", "", "", f"  {name}: {_text(value)}", style="dim")
    return table


def _leaf_text(step: ConversationStep) -> str:
    return "not proven" if step.leaf is None else f"leaf {step.leaf}"


def _text(value: object) -> str:
    return escape(value if isinstance(value, str) else codec.encode(value).decode())
