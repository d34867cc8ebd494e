"""The embedded nats-server: its configuration file and its command line."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_CONFIG = """# Written by the supervisor at every start.
server_name: {name}
listen: "127.0.0.1:{port}"
max_payload: 8MB
write_deadline: "10s"
ping_interval: "2s"
ping_max: 2
jetstream {{
    store_dir: {store}
    sync_interval: "1s"
}}
"""


def nats_server_command(folder: Path, *, port: int, name: str = "nats-1") -> list[str]:
    """Write the configuration below `folder` and return the command that runs the server."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    store = '"' + str(folder / "jetstream").replace("\\", "\\\\").replace('"', '\\"') + '"'
    config.write_text(_CONFIG.format(name=name, port=port, store=store), encoding="utf-8")
    return [_binary(), "--config", str(config)]


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is neither beside the Python interpreter nor on PATH")
    return found
