"""A suite on a machine with other accounts: they read nothing, write nothing, and see no secret."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from trunkline_supervisor.core.accounts import SERVICE_UID

from tests.suite import attack
from tests.support import live_folder
from tests.support.accounts import ATTACKER, PERSON, needs_root, readable, run_python, under
from tests.support.suite import Suite, of_each

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400), needs_root]
_MIN_SECRET = 16


@dataclass(frozen=True)
class GuardedSuite:
    """A suite and the account that it has to run as."""

    suite: Suite
    account: int

    def secrets(self) -> list[str]:
        """Return every secret of the data folder."""
        found: list[str] = []
        for file in (self.suite.data_dir / "secrets").rglob("*"):
            if file.is_file():
                found += [word for word in file.read_text().split() if len(word) >= _MIN_SECRET and "=" not in word]
        return found

    def targets(self) -> dict[str, Any]:
        """Return everything that an attacker can aim at."""
        folder = self.suite.data_dir
        pids = [process.pid for process in self.suite.processes()]
        found = list(live_folder.paths(folder))
        sockets = [str(path) for path in found if path.is_socket()]
        paths = [str(folder), *(str(path) for path in found if path.name != "up.log")]
        return {"paths": paths, "pids": pids, "sockets": sockets, "url": self.suite.url}

    def reached_by(self, account: int) -> list[str]:
        """Attack the suite from an account and return the attacks that succeeded."""
        program = Path(attack.__file__).read_text()
        found: list[str] = json.loads(run_python(account, program, json.dumps(self.targets())))
        return found


@pytest.fixture(scope="module", params=["root", "service", "person"])
def guarded(request: pytest.FixtureRequest) -> Iterator[GuardedSuite]:
    """A suite that root starts and that stays root, one that drops to the service account, and one of a person."""
    base = Path(tempfile.mkdtemp(prefix="guarded-"))
    base.chmod(0o755)
    data = base / "data"
    data.mkdir()
    prefix, account, environment = {
        "root": ([], 0, {"TRUNKLINE_USER": "root"}),
        "service": (readable(), SERVICE_UID, {}),
        "person": (under(PERSON), PERSON, {}),
    }[request.param]
    if request.param == "person":
        os.chown(data, PERSON, PERSON)
    suite = Suite(data, {"TRUNKLINE_AUTH_SECRET": "a-secret-of-the-ingress-of-32-bytes"} | environment, prefix=prefix)
    try:
        yield GuardedSuite(suite, account)
    finally:
        assert suite.stop() == 0
        shutil.rmtree(base)


def test_every_process_runs_as_the_account_that_owns_the_data(guarded: GuardedSuite) -> None:
    """An unprivileged one, unless the operator names root."""
    assert set(of_each(guarded.suite.processes(), lambda process: process.uids().real)) == {guarded.account}
    owners = set()
    for path in live_folder.paths(guarded.suite.data_dir):
        with contextlib.suppress(FileNotFoundError):
            owners |= {path.lstat().st_uid} if path.name != "up.log" else set()
    assert owners == {guarded.account}
    assert guarded.suite.data_dir.stat().st_mode & 0o777 == 0o700


def test_other_account_reaches_nothing(guarded: GuardedSuite) -> None:
    """PostgreSQL, Milvus, files, memory and environment of processes, the operators' API."""
    assert guarded.reached_by(ATTACKER) == []


def test_attacks_reach_everything_from_the_own_account(guarded: GuardedSuite) -> None:
    """Otherwise the attacks of the other account would prove nothing."""
    reached = guarded.reached_by(guarded.account)
    for expected in ("postgres/PG_VERSION", "secrets/operator", ".s.PGSQL.5432", "milvus.sock", "/environ"):
        assert [name for name in reached if expected in name], expected
    assert "operators' API" not in reached


def test_no_secret_is_an_argument_of_a_process(guarded: GuardedSuite) -> None:
    """Every account can list the arguments of all processes."""
    arguments = "\n".join(of_each(guarded.suite.processes(), lambda process: " ".join(process.cmdline())))
    secrets = guarded.secrets()
    assert len(secrets) > 4
    assert [secret for secret in secrets if secret in arguments] == []


def test_each_process_has_its_own_secrets_alone(guarded: GuardedSuite) -> None:
    """A customer's token signed with the ingress' secret is worth nothing if a parser of files can read that secret."""
    holders: dict[str, set[str]] = {"TRUNKLINE_AUTH_SECRET": set(), "TRUNKLINE_RESUME_SECRET": set()}
    holders |= {"TRUNKLINE_POSTGRES_DSN": set(), "TRUNKLINE_OPERATOR_TOKEN": set(), "TRUNKLINE_AUDIT_SECRET": set()}
    children = guarded.suite.processes()[1:]
    for variables, command in of_each(children, lambda process: (process.environ(), process.cmdline())):
        for name in holders.keys() & variables.keys():
            holders[name].add(command[-1])
    assert holders == {
        "TRUNKLINE_AUTH_SECRET": {"trunkline_ingress"},
        "TRUNKLINE_RESUME_SECRET": {"trunkline_ingress"},
        "TRUNKLINE_OPERATOR_TOKEN": {"trunkline_ingress"},
        "TRUNKLINE_POSTGRES_DSN": {"trunkline_audit"},
        "TRUNKLINE_AUDIT_SECRET": {"trunkline_audit"},
    }


def test_only_nats_and_http_listen_on_ports(guarded: GuardedSuite) -> None:
    """PostgreSQL listens on none, the knowledge service on that of its health page."""
    ports: dict[str, int] = {}
    for instance in ("postgres-1", "rag-1"):
        process = psutil.Process(guarded.suite.pid(instance))
        listening = [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
        ports[instance] = len(listening)
    assert ports == {"postgres-1": 0, "rag-1": 1}
