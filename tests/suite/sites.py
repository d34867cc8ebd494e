"""Two sites on one machine: a region each, with a NATS and a PostgreSQL of its own, joined by a leaf node."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import nats
import psutil
from nats.aio.client import Client
from trunkline_supervisor.adapters.tcp import free_port

from tests.support import live_folder
from tests.support.suite import Suite, of_each, wait_until

SECRET = "the same secret of resume tokens at both sites"
_NATS = """server_name: {region}
listen: 127.0.0.1:{port}
server_tags: ["region:{region}"]
max_payload: 8MB
jetstream {{ store_dir: "{folder}/jetstream", domain: {region} }}
accounts {{
    TRUNKLINE {{ jetstream: enabled, users: [{{ user: trunkline, password: open }}] }}
    SITES {{ users: [{{ user: sites, password: open }}] }}
    SYS {{ users: [{{ user: system, password: open }}] }}
}}
system_account: SYS
no_auth_user: trunkline
leafnodes {{ {leaf} }}
"""


@dataclass
class Site:
    """One site, which can be lost with all of its processes, and return."""

    folder: Path
    region: str
    leaf: str
    """Its side of the link between the sites."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Public addresses by region, of all sites."""
    http_port: int = field(default_factory=free_port)
    nats_port: int = field(default_factory=free_port)
    suite: Suite | None = None
    server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Public address."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def nats_folder(self) -> Path:
        """State of the NATS server."""
        return self.folder / "nats"

    def start(self) -> None:
        """Start the server and the suite, and wait until it is ready."""
        self.start_nats()
        environment = {
            "TRUNKLINE_NATS_URL": f"nats://127.0.0.1:{self.nats_port}",
            "TRUNKLINE_REGION": self.region,
            "TRUNKLINE_STREAM_TAGS": f'["region:{self.region}"]',
            "TRUNKLINE_RESUME_SECRET": SECRET,
            "TRUNKLINE_EMBEDDER": "lexical",
            "TRUNKLINE_INGRESS_PROCESSES_MIN": "1",
            "TRUNKLINE_SITES": msgspec.json.encode(self.addresses).decode(),
        }
        self.suite = Suite(self.folder / "suite", environment, options=("--port", str(self.http_port)))

    def start_nats(self) -> None:
        """Start the server alone."""
        self.nats_folder.mkdir(parents=True, exist_ok=True)
        config = self.nats_folder / "nats.conf"
        config.write_text(
            _NATS.format(region=self.region, port=self.nats_port, folder=self.nats_folder, leaf=self.leaf)
        )
        with (self.nats_folder / "log").open("ab") as log:
            command = [str(Path(sys.executable).parent / "nats-server"), "--config", str(config)]
            self.server = subprocess.Popen(command, stdout=log, stderr=log)

    def lose(self) -> None:
        """Kill all processes at once, as a power failure of the site does."""
        assert self.suite is not None
        assert self.server is not None
        processes = [*self.suite.processes(), psutil.Process(self.server.pid)]
        of_each(processes, psutil.Process.suspend)  # none sees the death of another one, nor replaces it
        of_each(processes, psutil.Process.kill)
        self.server.wait(20)
        self.suite.stop()
        psutil.wait_procs(processes, timeout=20)
        self.suite = self.server = None

    def stop(self) -> None:
        """Stop everything that runs."""
        if self.suite is not None:
            self.suite.stop()
        if self.server is not None:
            self.server.kill()
            self.server.wait(20)

    def holds(self, text: str) -> bool:
        """Return whether a file of the site has a text: stores, logs, PostgreSQL, knowledge base."""
        needle = text.encode()
        return any(needle in content for _, content in live_folder.contents(self.folder))

    async def connect(self, user: str = "trunkline") -> Client:
        """Connect to the server as one of its users."""
        return await nats.connect(f"nats://{user}:open@127.0.0.1:{self.nats_port}", connect_timeout=5)


def two_sites(folder: Path) -> tuple[Site, Site]:
    """Return the sites `eu` and `us`, which are not started; the link leads from `us` to `eu`."""
    port = free_port()
    listen = f"listen: 127.0.0.1:{port}, authorization {{ user: sites, password: open, account: SITES }}"
    remote = f'remotes: [{{ urls: ["nats-leaf://sites:open@127.0.0.1:{port}"], account: SITES }}]'
    eu, us = Site(folder / "eu", "eu", listen), Site(folder / "us", "us", remote)
    eu.addresses = us.addresses = {"eu": eu.url, "us": us.url}
    return eu, us


def wait_for_link(site: Site) -> None:
    """Wait until the server has connected to the other site."""
    log = site.nats_folder / "log"
    wait_until(lambda: "Leafnode connection created" in log.read_text(), "the sites are joined")
