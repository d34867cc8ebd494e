"""Point-in-time recovery with pgBackRest, configured as the role `patroni` does; skipped without its packages."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.suite import wait_until

ROLE = Path(__file__).parents[2] / "ansible" / "roles" / "patroni"
BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql"))


def missing() -> str | None:
    """Return the reason why the tests cannot run here."""
    if shutil.which("pgbackrest") is None or not (BIN / "initdb").exists():
        return "needs the packages postgresql-15 and pgbackrest of the distribution"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "needs the account postgres, since PostgreSQL does not run as root"
    return None


pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


class Cluster:
    """A cluster of PostgreSQL with the configuration of the role, and its repository."""

    def __init__(self, folder: Path) -> None:
        """Write the configuration below a folder that the account of PostgreSQL owns."""
        self.folder = folder
        self.data = folder / "data"
        self._prefix = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        )
        defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
        variables: dict[str, Any] = {
            "ansible_managed": "test",
            "patroni__repository_keep": defaults["patroni__repository_keep"],
            "patroni__stanza": defaults["patroni__stanza"],
            "patroni__data_dir": str(self.data),
            "patroni__postgres_port": 5432,
        }
        template = (ROLE / "templates" / "etc" / "pgbackrest.conf.j2").read_text(encoding="utf-8")
        # Of Jinja, the template needs a loop over the options of the repository and plain variables.
        looped = re.sub(r"\{% for .*?endfor %\}\n", f"repo1-path={folder / 'repository'}\n", template, flags=re.DOTALL)
        rendered = re.sub(r"\{\{ (\w+) \}\}", lambda match: str(variables[match[1]]), looped)
        self.config = folder / "pgbackrest.conf"
        self.config.write_text(
            rendered.replace("/var/run/postgresql", str(folder / "s")).replace(
                "/var/lib/postgresql/pgbackrest-locks", str(folder / "locks")
            ),
            encoding="utf-8",
        )
        (folder / "s").mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(folder / "s", "postgres", "postgres")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as the account of PostgreSQL."""
        # A server that goes on must not hold a pipe of this process.
        output = self.folder / f"output-{time.monotonic_ns()}"
        with output.open("w+") as log:
            done = subprocess.run(
                [*self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                timeout=120,
                check=False,
            )
        text = output.read_text()
        assert not check or done.returncode == 0, text
        return subprocess.CompletedProcess(command, done.returncode, text, "")

    def initialise(self, data: Path | None = None) -> None:
        """Create an empty cluster that archives its WAL as the role sets it."""
        self.run(str(BIN / "initdb"), "-D", str(data or self.data), "-A", "trust", "-N", "--no-instructions")
        archive = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))[
            "patroni__archive_parameters"
        ]
        command = archive["archive_command"].replace("{{ patroni__stanza }}", "trunkline")
        command = command.replace("pgbackrest ", f"pgbackrest --config={self.config} ")
        settings = {
            "archive_mode": archive["archive_mode"],
            "archive_command": command,
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder / "s"),
            "max_wal_senders": "3",
            "shared_buffers": "16MB",
        }
        with ((data or self.data) / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self, data: Path | None = None) -> None:
        """Start the server and wait until it has replayed its WAL."""
        log = self.folder / "log"
        started = self.run(
            *(str(BIN / "pg_ctl"), "start", "-D", str(data or self.data), "-w", "-t", "60", "-l", str(log)), check=False
        )
        assert started.returncode == 0, log.read_text()
        deadline = time.monotonic() + 60
        while self.query("SELECT pg_is_in_recovery()") != "f":
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)  # PostgreSQL sends no event

    def stop(self, mode: str = "fast", data: Path | None = None) -> None:
        """Stop the server if it runs."""
        self.run(str(BIN / "pg_ctl"), "stop", "-D", str(data or self.data), "-m", mode, "-t", "60", check=False)

    def query(self, statement: str) -> str:
        """Run a statement; return its rows."""
        return self.run(*("psql", "-h", str(self.folder / "s"), "-XAtc", statement, "postgres")).stdout.strip()

    def backrest(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run pgBackRest."""
        return self.run("pgbackrest", f"--config={self.config}", "--stanza=trunkline", *arguments, check=check)

    def archive(self) -> None:
        """Archive the open segment, as the server does after `archive_timeout`."""
        self.backrest("check")

    def lose(self) -> None:
        """Kill the server and remove its data."""
        self.stop("immediate")
        shutil.rmtree(self.data)
        self.run("mkdir", "-m", "700", str(self.data))

    def rows(self) -> list[str]:
        """Return all rows of the table."""
        return self.query("SELECT n, word FROM said ORDER BY n").splitlines()

    def add(self, first: int, last: int) -> None:
        """Commit rows one by one."""
        for number in range(first, last + 1):
            self.query(f"INSERT INTO said SELECT {number}, md5('{number}')")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Run a cluster with a stanza and a full backup of three rows."""
    # Outside of the folders of pytest, which only their owner may enter.
    folder = Path(f"/tmp/trunkline-pitr-{os.getpid()}-{time.monotonic_ns()}")  # noqa: S108 - removed below
    folder.mkdir(mode=0o755)
    cluster = Cluster(folder)
    try:
        cluster.initialise()
        cluster.start()
        cluster.query("CREATE TABLE said (n int PRIMARY KEY, word text)")
        cluster.add(1, 3)
        cluster.backrest("stanza-create")
        cluster.backrest("check")
        cluster.backrest("--type=full", "backup")
        yield cluster
    finally:
        cluster.stop("immediate")
        cluster.stop("immediate", folder / "fresh")
        shutil.rmtree(folder, ignore_errors=True)


def moment(cluster: Cluster) -> str:
    """Return the present moment of the server, with its offset."""
    text = cluster.query("SELECT clock_timestamp()")
    assert datetime.fromisoformat(text).tzinfo is not None
    return text


def test_restore_to_a_moment_has_exactly_the_rows_until_then(cluster: Cluster) -> None:
    """After the loss of all data; what is committed on the new timeline is in its archive."""
    cluster.add(4, 8)
    expected, wanted = cluster.rows(), moment(cluster)
    cluster.add(9, 12)
    cluster.backrest("--type=incr", "backup")  # later than the moment: the one before is chosen
    cluster.archive()
    cluster.lose()
    cluster.backrest("--delta", "--type=time", f"--target={wanted}", "--target-action=promote", "restore")
    cluster.start()
    assert len(expected) == 8
    assert cluster.rows() == expected
    # Otherwise the newest backup would be one of the timeline that was left.
    cluster.backrest("--type=full", "backup")
    cluster.add(20, 22)
    later = cluster.rows()
    cluster.archive()
    cluster.lose()
    cluster.backrest("--delta", "restore")
    cluster.start()
    assert cluster.rows() == later


def test_latest_loses_the_rows_of_the_open_segment_alone(cluster: Cluster) -> None:
    """All that was archived is there; `archive_timeout` bounds the rest."""
    cluster.add(4, 6)
    archived = cluster.rows()
    cluster.archive()
    cluster.add(7, 7)
    everything = cluster.rows()
    cluster.lose()
    cluster.backrest("--delta", "restore")
    cluster.start()
    assert cluster.rows() in (archived, everything)


def test_new_cluster_does_not_write_into_the_repository_of_the_lost_one(cluster: Cluster) -> None:
    """As on empty hosts before restore.yml: `info` shows another cluster, a new stanza and WAL are refused."""
    cluster.stop()
    fresh = cluster.folder / "fresh"
    cluster.initialise(fresh)
    cluster.start(fresh)
    own = cluster.query("SELECT system_identifier FROM pg_control_system()")
    [info] = json.loads(cluster.backrest("--output=json", "info").stdout)
    assert [str(each["system-id"]) for each in info["db"]] != [own]
    for command in ("stanza-create", "check"):
        assert cluster.backrest(f"--pg1-path={fresh}", command, check=False).returncode != 0
    cluster.stop(data=fresh)
    cluster.lose()
    cluster.backrest("--delta", "restore")
    cluster.start()
    assert len(cluster.rows()) == 3


def archive_metrics(cluster: Cluster) -> dict[str, float] | None:
    """Return the metrics that the timer of the role writes; None if the state cannot be read."""
    program = ROLE / "files" / "archive_metrics.py"
    environment = ("env", f"PGHOST={cluster.folder / 's'}")
    done = cluster.run(*environment, "python3", str(program), "trunkline", f"--config={cluster.config}", check=False)
    if done.returncode != 0:
        return None
    lines = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    return {name.removeprefix("trunkline_postgres_"): float(value) for name, value in lines}


def test_state_of_the_repository_shows_wal_that_waits(cluster: Cluster) -> None:
    """A repository that cannot be written keeps the segment, and one that cannot be read has no state at all."""
    cluster.archive()
    healthy = archive_metrics(cluster)
    assert healthy is not None
    assert healthy["wal_waiting_seconds"] < 60
    assert abs(healthy["archive_checked_timestamp_seconds"] - time.time()) < 60
    assert abs(healthy["full_backup_timestamp_seconds"] - time.time()) < 600
    repository, away = cluster.folder / "repository", cluster.folder / "away"
    closed = [each for each in (repository / "archive" / "trunkline").rglob("*") if each.is_dir()]
    for folder in closed:
        folder.chmod(0o500)
    cluster.query("INSERT INTO said VALUES (100, 'x')")
    cluster.query("SELECT pg_switch_wal()")
    wait_until(lambda: waiting_s(cluster) > 0, "a segment waits", timeout_s=60)
    repository.rename(away)
    assert archive_metrics(cluster) is None
    away.rename(repository)
    for folder in closed:
        folder.chmod(0o700)
    # The server tries again once a minute.
    wait_until(lambda: waiting_s(cluster) == 0, "the segment is archived", timeout_s=120)


def waiting_s(cluster: Cluster) -> float:
    """Return how long WAL has waited; the state must be readable."""
    found = archive_metrics(cluster)
    assert found is not None
    return found["wal_waiting_seconds"]


def test_standby_has_no_state_of_the_repository(cluster: Cluster) -> None:
    """It archives nothing: the figures are those of the primary alone."""
    cluster.stop()
    cluster.run("touch", str(cluster.data / "standby.signal"))
    log = str(cluster.folder / "log")
    cluster.run(str(BIN / "pg_ctl"), "start", "-D", str(cluster.data), "-w", "-t", "60", "-l", log)
    assert archive_metrics(cluster) == {}
