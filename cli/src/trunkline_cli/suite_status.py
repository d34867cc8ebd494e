"""`trunkline status`: the processes of all nodes."""

from __future__ import annotations

from rich.table import Table
from trunkline_protocols import codec
from trunkline_protocols.presence import SuiteStatus

from trunkline_cli.client import get
from trunkline_cli.settings import ClientSettings


def read_status(settings: ClientSettings) -> SuiteStatus:
    """Return the status of a running suite."""
    return get(settings, "/v1/ops/status", SuiteStatus)


def status_table(suite: SuiteStatus) -> Table:
    """Return the status as a table, one process per row; nodes are named if there are several."""
    title = "ready" if suite.ready else "not ready"
    if suite.missing:
        title += f"; no process is ready of: {', '.join(suite.missing)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    has_nodes = len({process.node for process in suite.processes}) > 1
    for heading in (*(["node"] if has_nodes else []), "name", "service", "version", "pid", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("restarts", "queue", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    table.add_column("detail", overflow="fold")
    for process in suite.processes:
        colour = "green" if process.state == "ready" else "red"
        table.add_row(
            *([process.node] if has_nodes else []),
            process.name,
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
    """Return the status as JSON with all fields, including those with default values."""
    processes = [{name: getattr(process, name) for name in process.__struct_fields__} for process in suite.processes]
    return codec.encode({"ready": suite.ready, "processes": processes, "missing": suite.missing})
