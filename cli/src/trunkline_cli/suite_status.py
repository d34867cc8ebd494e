"""`trunkline status`: the supervision tree."""

from __future__ import annotations

import msgspec
from rich.table import Table
from trunkline_protocols.presence import SuiteStatus

from trunkline_cli.client import get
from trunkline_cli.settings import ClientSettings


def read_status(settings: ClientSettings) -> SuiteStatus:
    """Return the supervision tree of a running suite."""
    return get(settings, "/v1/ops/status", SuiteStatus)


def status_table(suite: SuiteStatus) -> Table:
    """Return the supervision tree as a table, one process per row."""
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
            ", ".join(f"{key} {value}" for key, value in process.detail.items()),
        )
    return table


def status_json(suite: SuiteStatus) -> bytes:
    """Return the supervision tree as JSON with all fields, including those with default values."""
    processes = [{name: getattr(process, name) for name in process.__struct_fields__} for process in suite.processes]
    return msgspec.json.encode({"ready": suite.ready, "processes": processes})
