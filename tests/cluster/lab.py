"""A lab: hosts with systemd in containers, installed over ssh by the playbooks of ansible/."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import yaml

LAB_NAME: Final = "trunkline-lab"
QUESTION: Final = "I was charged twice for my order, can I get a refund?"
ANSWER_WITHIN_S: Final = 120.0
"""Until a host answers again, after an installation or a fault."""
ROOT: Final = Path(__file__).parents[2]
_TOOLS: Final = ROOT / ".venv" / "tools" / "ansible" / "bin"
_PROGRAM: Final = Path(sys.executable).parent / "trunkline"
_RECAP: Final = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
_TOKEN_LIFETIME_S: Final = 3600


class LabError(Exception):
    """A step of the lab failed; the message has the end of its output."""


def missing_requirement() -> str | None:
    """Return the reason why no lab can run here, None if one can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    if not (_TOOLS / "ansible-playbook").exists():
        return "ansible-core is not installed"
    done = subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False)
    return None if done.returncode == 0 else "no Docker daemon answers"


@dataclass(slots=True)
class Lab:
    """Hosts of an inventory; `folder` gets ssh key, secrets and logs."""

    folder: Path
    inventory: str = "lab"
    hosts: int = 3
    name: str = LAB_NAME
    addresses: dict[str, str] = field(default_factory=dict)
    """Private address by host."""

    @property
    def backups(self) -> Path:
        """Store of backups, which outlives the hosts."""
        return self.folder / "backups"

    @property
    def key_file(self) -> Path:
        """Wrapping key of the customers' texts."""
        return self.folder / "secrets" / "texts"

    def up(self) -> None:
        """Start the hosts, empty."""
        if not self.key_file.exists():
            self.key_file.parent.mkdir(parents=True, exist_ok=True)
            self.key_file.write_text(secrets.token_hex(32), encoding="utf-8")
        self._hosts_script("up", str(self.folder), str(self.hosts))
        self._read_addresses()

    def add_host(self) -> str:
        """Start one more host, empty, for processes that hold no data; return its name."""
        before = set(self.addresses)
        self.hosts += 1
        self._hosts_script("add", str(self.folder), str(self.hosts))
        self._read_addresses()
        [added] = set(self.addresses) - before
        return added

    def replace_host(self, host: str) -> None:
        """Lose a host with its disk, and start an empty one of its name and address."""
        self._hosts_script("replace", str(self.folder), host.rpartition("-")[2])

    def disk(self, host: str) -> Path:
        """Return where the disk of a host is mounted; raise `LabError` if it has none of its own."""
        folder = self.folder / "disks" / host
        if not folder.is_mount():
            raise LabError(f"{host} has no disk of its own: only root may mount one")
        return folder

    def _read_addresses(self) -> None:
        inventory = yaml.safe_load((self.folder / "hosts.yml").read_text(encoding="utf-8"))
        self.addresses = {host: values["private_address"] for host, values in inventory["all"]["hosts"].items()}

    def down(self) -> None:
        """Remove the hosts and their network."""
        self._hosts_script("down", str(self.folder))

    def play(self, playbook: str, *arguments: str, timeout_s: float) -> dict[str, int]:
        """Run a playbook; return the number of changes per host."""
        log = self.folder / f"{Path(playbook).stem}-{time.time_ns()}.log"
        inventories = ["-i", f"inventories/{self.inventory}", "-i", str(self.folder / "hosts.yml")]
        command = [str(_TOOLS / "ansible-playbook"), *inventories, playbook, *arguments]
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                command, cwd=ROOT / "ansible", stdout=output, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
            )
        text = log.read_text(encoding="utf-8")
        if done.returncode:
            raise LabError(f"{playbook} failed, see {log}\n{text[-3000:]}")
        return {match[1]: int(match[3]) for match in _RECAP.finditer(text)}

    def token(self, customer: str) -> str:
        """Return an access token of a customer."""
        secret = (self.folder / "secrets" / "auth").read_text(encoding="utf-8").strip()
        claims = {"sub": customer, "exp": int(time.time()) + _TOKEN_LIFETIME_S}
        return jwt.encode(claims, secret, algorithm="HS256")

    def ask(self, host: str, text: str, *, customer: str = "", timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Send one message through the HAProxy of a host; return the frames of the server."""
        name = customer or getpass.getuser()
        environment = {
            **os.environ,
            "SSL_CERT_FILE": str(self.folder / "secrets" / "pki" / "ca.pem"),
            "TRUNKLINE_TOKEN": self.token(name),
            "LOGNAME": name,  # the customer that `trunkline ask` names
        }
        command = [str(_PROGRAM), "ask", text, "--json", "--url", f"https://{self.addresses[host]}"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
        if done.returncode:
            raise LabError(f"no answer through {host}: {done.stderr[-500:]}{done.stdout[-500:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ask_until_answered(self, host: str, text: str, *, within_s: float) -> float:
        """Ask again until an answer comes; return the seconds that this took."""
        started = time.monotonic()
        while True:
            try:
                self.ask(host, text)
            except (LabError, subprocess.TimeoutExpired):
                if time.monotonic() - started > within_s:
                    raise
                time.sleep(0.5)
            else:
                return time.monotonic() - started

    def container(self, host: str) -> str:
        """Return the container of a host."""
        return f"{self.name}-{host}"

    def docker(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run a command of Docker; return its output."""
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode:
            raise LabError(f"docker {arguments[0]}: {done.stderr[-500:]}")
        return done.stdout

    def run(self, host: str, command: str, *, timeout_s: float = 60.0) -> str:
        """Run a shell command on a host; return its output."""
        return self.docker("exec", self.container(host), "sh", "-c", command, timeout_s=timeout_s)

    def trunkline(self, host: str, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run the command of Trunkline against the ingress of a host, as the operator; return its output."""
        environment = {
            **os.environ,
            "TRUNKLINE_URL": f"http://{self.addresses[host]}:8080",
            "TRUNKLINE_OPERATOR_TOKEN": (self.folder / "secrets" / "operator").read_text(encoding="utf-8").strip(),
            "TRUNKLINE_POSTGRES_DSN": self.postgres_dsn(),
        }
        command = [str(_PROGRAM), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
        if done.returncode:
            raise LabError(f"trunkline {arguments[0]}: {done.stderr[-500:]}{done.stdout[-500:]}")
        return done.stdout

    def postgres_dsn(self) -> str:
        """Return the addresses of all members, of which the writable one is taken."""
        password = (self.folder / "secrets" / "postgres" / "owner").read_text(encoding="utf-8").strip()
        hosts = ",".join(f"{address}:5432" for address in self.addresses.values())
        authority = self.folder / "secrets" / "pki" / "ca.pem"
        options = f"target_session_attrs=primary&sslmode=verify-full&sslrootcert={authority}"
        return f"postgresql://trunkline:{password}@{hosts}/trunkline?{options}"

    def copy_from(self, host: str, path: str, target: Path) -> None:
        """Copy a file of a host."""
        self.docker("cp", f"{self.container(host)}:{path}", str(target))

    def degraded(self, host: str) -> list[str]:
        """Return the services that answers lack, as the ingress of a host says; empty if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.addresses[host]}:8080/readyz", timeout=5) as reply:
                return list(json.load(reply).get("degraded", []))
        except OSError:
            return []

    def prometheus(self, host: str, path: str) -> Any:
        """Return the data of a path of the API of Prometheus, which listens on the loopback of a host."""
        url = f"http://127.0.0.1:9090/api/v1/{path}"
        program = f"import urllib.request as r; print(r.urlopen('{url}', timeout=10).read().decode())"
        return json.loads(self.run(host, f'python3 -c "{program}"'))["data"]

    def _hosts_script(self, *arguments: str) -> None:
        # The image is built once, which takes some minutes.
        done = subprocess.run(
            [str(ROOT / "ansible" / "lab" / "hosts.sh"), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "TRUNKLINE_LAB": self.name},
            timeout=900,
            check=False,
        )
        if done.returncode:
            raise LabError(f"hosts.sh {arguments[0]} failed: {done.stderr[-1000:]}")
