"""`trunkline status` and `trace`: what operators look at."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import msgspec
from rich.markup import escape
from rich.table import Table
from trunkline_protocols.presence import SuiteStatus

from trunkline_cli.client import get
from trunkline_cli.settings import ClientSettings


class Step(msgspec.Struct):
    """One step of a trace, as the API tells it."""

    at: float
    to: str
    subject: str
    type: str
    ms: float
    summary: str
    detail: dict[str, Any]
    from_: str = msgspec.field(name="from")


class Trace(msgspec.Struct):
    """A conversation's story."""

    conversation: str
    steps: list[Step]


# -- status ---


def status(settings: ClientSettings) -> SuiteStatus:
    """Read the supervision tree."""
    return get(settings, "/v1/ops/status", SuiteStatus)


def status_table(suite: SuiteStatus) -> Table:
    """Draw the supervision tree."""
    table = Table(title="ready" if suite.ready else "not ready", title_justify="left", box=None, pad_edge=False)
    for heading in ("instance", "service", "version", "pid", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("restarts", "queue", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    table.add_column("detail", overflow="fold")
    for process in suite.processes:
        colour = "green" if process.state == "ready" else "red"
        table.add_row(
            process.instance,
            process.service,
            process.version,
            str(process.pid),
            f"[{colour}]{process.state}[/]",
            str(process.restarts),
            str(process.queue_depth),
            f"{process.p50_ms:.1f}",
            f"{process.p95_ms:.1f}",
            ", ".join(f"{what} {state}" for what, state in process.detail.items()),
        )
    return table


def status_json(suite: SuiteStatus) -> bytes:
    """Write every field, also those with their default value."""
    lines = [{name: getattr(process, name) for name in process.__struct_fields__} for process in suite.processes]
    return msgspec.json.encode({"ready": suite.ready, "processes": lines})


# -- trace ---


def trace(settings: ClientSettings, conversation: str) -> Trace:
    """Read a conversation's story."""
    return get(settings, f"/v1/ops/trace/{quote(conversation, safe='')}", Trace)


def trace_table(story: Trace) -> Table:
    """Draw a conversation's story, one step a line."""
    table = Table(title=story.conversation, title_justify="left", box=None, pad_edge=False)
    for heading in ("time", "from", "to", "type"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("what happened", overflow="fold")
    for step in story.steps:
        at = time.strftime("%H:%M:%S", time.localtime(step.at)) + f".{int(step.at * 1000) % 1000:03d}"
        summary = escape(_short(step.summary, limit=200))
        table.add_row(at, step.from_, step.to, step.type, f"{step.ms:.1f}", summary)
    return table


def _short(value: object, limit: int = 100) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
