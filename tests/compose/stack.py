"""The containers of compose.yaml, started with docker-compose under a project name and a port of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import docker
import jwt
import yaml

from tests.support.customer import Customer

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
PORT: Final = 18099
_SECRETS: Final = (
    *("TRUNKLINE_RESUME_SECRET", "TRUNKLINE_AUTH_SECRET", "TRUNKLINE_OPERATOR_TOKEN", "TRUNKLINE_AUDIT_SECRET"),
    *("POSTGRES_PASSWORD", "TRUNKLINE_POSTGRES_PASSWORD", "MILVUS_PASSWORD"),
)
_NATS_USERS: Final = (
    *("SYSTEM", "OPERATOR", "SUPERVISOR", "INGRESS", "CONVERSATION", "AGENTS", "RAG", "LLM_GATEWAY", "AUDIT"),
)
_POLL_INTERVAL_S: Final = 0.1


class Stack:
    """One project of compose.yaml."""

    url = f"http://127.0.0.1:{PORT}"

    def __init__(self, folder: Path) -> None:
        """Draw every secret that the file requires; files beside compose.yaml are written into a folder."""
        self.project = f"trunkline-test-{secrets.token_hex(3)}"
        self._override = folder / "embedder.yaml"
        embedder = {"environment": {"TRUNKLINE_EMBEDDER": os.environ.get("TRUNKLINE_EMBEDDER", "lexical")}}
        services = dict.fromkeys((name for name in SERVICES if name.startswith(("agents", "rag"))), embedder)
        self._override.write_text(yaml.dump({"services": services}), encoding="utf-8")
        self._environment = {
            **os.environ,
            **{name: secrets.token_hex(32) for name in _SECRETS},
            **{f"NATS_PASSWORD_{user}": f"p{secrets.token_hex(24)}" for user in _NATS_USERS},
            "COMPOSE_PROJECT_NAME": self.project,
            "TRUNKLINE_PORT": str(PORT),
        }

    def compose(self, *arguments: str) -> str:
        """Run the old or the new compose command and return its output."""
        command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        done = subprocess.run(
            [*command, "--file", "compose.yaml", "--file", str(self._override), *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> Any:
        """Return the container of a service."""
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        [found] = docker.from_env().containers.list(all=True, filters={"label": labels})
        return found

    def log(self, service: str) -> str:
        """Return everything that a container has logged."""
        text: str = self.container(service).logs().decode(errors="replace")
        return text

    def is_ready(self) -> bool:
        """Return whether the ingress reports that a message would be answered."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 - our own server
                return True
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float) -> float:
        """Wait until the ingress is ready; return the seconds that it took."""
        started = time.monotonic()
        while not self.is_ready():
            waited = time.monotonic() - started
            assert waited < timeout_s, f"not ready after {timeout_s:g} s\n{self.compose('ps')}"
            time.sleep(_POLL_INTERVAL_S)
        return time.monotonic() - started

    def customer(self) -> Customer:
        """Return a customer with an access token."""
        claims = {"sub": "ada", "exp": int(time.time()) + 3600}
        secret = self._environment["TRUNKLINE_AUTH_SECRET"]
        return Customer(self.url, token=jwt.encode(claims, secret, algorithm="HS256"))
