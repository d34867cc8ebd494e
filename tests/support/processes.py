"""Every process of a suite, started alone as in a container: no supervisor restarts or provisions anything."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from trunkline_supervisor.adapters.nats_credentials import load_nats_credentials
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.suite import PATIENT, trunkline

ROOT = Path(__file__).parents[2]
AGENTS = ("triage", "billing")


class Processes:
    """A NATS server with a user per service, and the processes that answer a message."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet."""
        self.folder = folder
        self.node = NatsNode("nats-1", folder / "nats", free_port())
        self.credentials = load_nats_credentials(folder / "secrets", region="local")
        self.port = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Address of the ingress."""
        return f"http://127.0.0.1:{self.port}"

    def start_nats(self) -> None:
        """Start the server."""
        self._start("nats", nats_server_command(self.node, [self.node], self.credentials), {})

    def provision(self) -> None:
        """Create the topology and publish the fleet, as the job of compose.yaml does before the first start."""
        self._start("provision", [sys.executable, "-m", "trunkline_chassis.provision"], self._environment("supervisor"))
        assert self._running.pop("provision").wait(60) == 0, self.log("provision")

    def start_services(self) -> None:
        """Start every process."""
        self.start("ingress", TRUNKLINE_HTTP_PORT=str(self.port), TRUNKLINE_RESUME_SECRET="r" * 32)
        self.start("conversation")
        for specialty in AGENTS:
            self.start("agents", f"agents-{specialty}", TRUNKLINE_SPECIALTY=specialty)
        self.start("rag", TRUNKLINE_MILVUS_URI=str(self.folder / "milvus"), TRUNKLINE_BACKUP_URL=str(self.folder / "b"))
        self.start("llm_gateway")

    def start(self, service: str, name: str = "", **variables: str) -> None:
        """Start one process."""
        instance = {"TRUNKLINE_INSTANCE": f"{name or service}-1"}
        environment = self._environment(service) | instance | variables
        self._start(name or service, [sys.executable, "-m", f"trunkline_{service}"], environment)

    def stop(self, name: str) -> None:
        """Terminate a process and wait for its end."""
        process = self._running.pop(name)
        process.terminate()
        process.wait(30)

    def stop_all(self) -> None:
        """Terminate everything, NATS last."""
        for name in [*(name for name in self._running if name != "nats"), "nats"]:
            if name in self._running:
                self.stop(name)

    def has_ended(self, name: str) -> bool:
        """Return whether a process has ended by itself."""
        return self._running[name].poll() is not None

    def is_ready(self) -> bool:
        """Return whether the ingress reports that a message would be answered."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 - our own server
                return True
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, text: str) -> subprocess.CompletedProcess[str]:
        """Send one message in a new conversation."""
        command = [trunkline(), "ask", text, "--url", self.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def log(self, name: str) -> str:
        """Return the log of a process."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _environment(self, service: str) -> dict[str, str]:
        return {
            "TRUNKLINE_NATS_URL": self.node.url,
            "TRUNKLINE_FLEET_DIR": str(ROOT / "fleet"),
            "TRUNKLINE_TRAINING_TIMEOUT_S": "600",  # on a busy machine
            "TRUNKLINE_KNOWLEDGE_DIR": str(ROOT / "fleet" / "knowledge"),
            **PATIENT,
            **self.credentials.environment(service),
        }

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            inherited = {**os.environ, **environment}
            self._running[name] = subprocess.Popen(command, env=inherited, cwd=ROOT, stdout=log, stderr=log)
