"""The allocation of the example of three hosts: shares become sizes, limits and files that the real programs accept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_supervisor.adapters.tcp import free_port

from tests.deployment.rendering import PLAYBOOK, ROOT, render
from tests.deployment.scripts import script
from tests.support.certificates import issue

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not PLAYBOOK.exists(), reason="needs ansible-core: ./just ansible-lint installs it"),
]

ACCOUNTS = script("nats", "accounts")
NATS_SERVER = Path(sys.executable).parent / "nats-server"
MEMORY_MB = 1_124_000_000_000 // 2**20
TB = 10**12
STORAGE = {"trunkline-1": [6, 6, 12], "trunkline-2": [12, 6, 6], "trunkline-3": [12, 6, 6]}
"""Terabytes of the shares of each host in the reference design."""
SERVICES = ("audit", "rag", "llm_gateway", "agents", "conversation", "ingress")
UNITS = {
    "nats.service": "etc/systemd/system/nats.service",
    "patroni.service": "etc/systemd/system/patroni.service",
    "trunkline.slice": "etc/systemd/system/trunkline.slice",
    "trunkline-provision.service": "etc/systemd/system/trunkline-provision.service",
    "trunkline-backup.service": "etc/systemd/system/trunkline-backup.service",
    "trunkline-backup.timer": "etc/systemd/system/trunkline-backup.timer",
    "trunkline-backup-keys.service": "etc/systemd/system/trunkline-backup-keys.service",
    "trunkline-backup-keys.timer": "etc/systemd/system/trunkline-backup-keys.timer",
    "trunkline-postgres-backup@.service": "etc/systemd/system/trunkline-postgres-backup@.service",
    "trunkline-postgres-backup-full.timer": "etc/systemd/system/trunkline-postgres-backup-full.timer",
    "trunkline-postgres-backup-incr.timer": "etc/systemd/system/trunkline-postgres-backup-incr.timer",
}
VALUES = (
    "storage__volumes",
    "storage__capacity_gb",
    "storage__percent_bytes",
    "trunkline__slice_limits",
    "trunkline__limits",
    "nats__memory_share",
    "nats__memory_mb",
    "nats__max_file_store",
    "nats__max_memory_store",
    "patroni__memory_share",
    "patroni__shared_buffers_mb",
)


def numa_example() -> dict[str, Any]:
    """Return the variables that the example has in its comments for a machine with two sockets."""
    text = (ROOT / "ansible/inventories/production.example/group_vars/all.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^# ((?:patroni__limits|nats__limits|  [a-z]+): \{.*\})$", text, flags=re.MULTILINE)
    nested = [line for line in lines if line.startswith("  ")]
    outer = [line for line in lines if not line.startswith("  ")]
    assert (len(outer), len(nested)) == (2, 2)
    loaded: dict[str, Any] = yaml.safe_load("\n".join([*outer, "trunkline__limits:", *nested]))
    return loaded


def rendered(folder: Path, hosts: str = "all", **variables: Any) -> dict[str, dict[str, Any]]:
    """Return files and values of each host."""
    files = {name: f"'{path}.j2'" for name, path in UNITS.items()}
    for service in SERVICES:
        unit = (
            f"{{'item': '{service}', 'trunkline__unit': {{'release': 'current', 'name': '{service}', 'colour': 'x'}}}}"
        )
        template = "'etc/systemd/system/trunkline-service@.service.j2'"
        files[f"trunkline-{service}@.service"] = f"{template}, template_vars={unit}"
    files["nats.conf"] = "'etc/nats/nats.conf.j2'"
    files["rules"] = "'etc/udev/rules.d/60-trunkline-storage.rules.j2'"
    known = {"memory_mb": MEMORY_MB, "wheelhouse__specialties": ["triage"], "item": "x"}
    return render(folder, "production.example", files, VALUES, {**known, **variables}, hosts)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Files and values of the example on machines of the reference's size."""
    return rendered(tmp_path_factory.mktemp("allocation"))


def test_volumes_have_the_terabytes_of_the_reference(hosts: dict[str, dict[str, Any]]) -> None:
    """In its order, and each store has the same room on every host: the smallest copy would bound all of them."""
    copies: dict[str, set[float]] = {}
    for host, terabytes in STORAGE.items():
        volumes = hosts[host]["storage__volumes"]
        sizes = [volume["share"] * hosts[host]["storage__percent_bytes"] for volume in volumes]
        assert sorted(sizes) == sorted(each * TB for each in terabytes)
        assert sum(sizes) == 24 * TB
        for volume, size in zip(volumes, sizes, strict=True):
            copies.setdefault(volume["name"], set()).add(size)
    assert copies["streams"] == {6 * TB}
    assert copies["postgres"] == {12 * TB}


def test_page_has_the_volumes_of_the_example(hosts: dict[str, dict[str, Any]]) -> None:
    """A reader of docs/allocation.md finds there what the example sets."""
    page = (ROOT / "docs" / "allocation.md").read_text(encoding="utf-8")
    for host, values in hosts.items():
        for volume in values["storage__volumes"]:
            size = volume["share"] * values["storage__percent_bytes"] // TB
            assert f"| `{host}` | {size} TB | {volume['share']} % | `{volume['name']}` | `{volume['path']}` |" in page


def test_memory_adds_up_to_what_a_host_has(hosts: dict[str, dict[str, Any]]) -> None:
    """700, 200, 200 and 24 GB: NATS is in the share of the processes, the knowledge base in the slice of Trunkline."""
    for values in hosts.values():
        slice_share = int(values["trunkline__slice_limits"]["MemoryMax"].rstrip("%"))
        vectors = int(values["trunkline__limits"]["rag"]["MemoryMax"].rstrip("%"))
        nats, database = values["nats__memory_share"] * 100, values["patroni__memory_share"] * 100
        gigabytes = [round(share * 1124 / 100) for share in (slice_share - vectors + nats, database, vectors)]
        assert gigabytes == pytest.approx([700, 200, 200], rel=0.02)
        assert 100 - slice_share - nats - database == pytest.approx(2)
        assert values["patroni__shared_buffers_mb"] == pytest.approx(MEMORY_MB * 0.18 / 4, abs=1)


def test_nats_is_bounded_by_its_shares(hosts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """As nats-server reads the file: nine tenths of its volume, half of its memory."""
    port = free_port()
    tls = issue(tmp_path / "tls", "127.0.0.1")
    shutil.copy(tls.certificate, tmp_path / "tls" / "host.pem")
    shutil.copy(tls.key, tmp_path / "tls" / "host.pem.key")
    block = ACCOUNTS.main(tmp_path / "seeds", "local")["accounts"]
    (tmp_path / "accounts.conf").write_text(f"accounts: {json.dumps(block)}\nsystem_account: SYS\n", encoding="utf-8")
    text = hosts["trunkline-1"]["nats.conf"]
    text = text.replace("/etc/nats/", f"{tmp_path}/").replace("/var/lib/nats", str(tmp_path))
    text = re.sub(r"/\S+/ca\.pem", str(tls.ca), text)
    # Alone, on free ports: nothing of the cluster is needed to read a bound.
    text = re.sub(r"^cluster \{.*?^\}$", "", text, flags=re.MULTILINE | re.DOTALL).replace(
        "10.0.0.11:4222", "127.0.0.1:-1"
    )
    config = tmp_path / "nats.conf"
    config.write_text(text.replace("127.0.0.1:8222", f"127.0.0.1:{port}"), encoding="utf-8")
    checked = subprocess.run([NATS_SERVER, "-t", "-c", config], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([NATS_SERVER, "-c", config], stdout=log, stderr=log)
    try:
        bounds = page(f"http://127.0.0.1:{port}/jsz")["config"]
    finally:
        server.terminate()
        server.wait(30)
    assert bounds["max_storage"] == 6 * TB * 9 // 10
    assert bounds["max_memory"] == int(MEMORY_MB * 0.09) * 2**20 // 2


def page(url: str) -> Any:
    """Return a page of a server that starts."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
                return json.load(response)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def verified(folder: Path, files: dict[str, Any]) -> str:
    """Return the complaints of systemd about the units of a host; their programs are replaced by one that exists."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze, of the package systemd")
    units = {name: text for name, text in files.items() if name.endswith((".service", ".slice", ".timer"))}
    assert len(units) == len(UNITS) + len(SERVICES)
    for name, text in units.items():
        instance = name.replace("@", "@incr" if "postgres" in name else "@1")
        for target in {name, instance}:
            replaced = re.sub(r"^(Exec\w+=)/\S+", r"\1/bin/true", text, flags=re.MULTILINE)
            (folder / target).write_text(replaced, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", *(str(file) for file in sorted(folder.iterdir()))],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "\n".join(line for line in done.stderr.splitlines() if str(folder) in line) + "!" * done.returncode


def test_systemd_accepts_every_unit(hosts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """On every host, as systemd reads them; an unknown limit would be ignored there with a line in the journal."""
    for host, files in hosts.items():
        (tmp_path / host).mkdir()
        assert verified(tmp_path / host, files) == ""


def test_unknown_limit_is_found(hosts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """The test before this one can fail."""
    files = {**hosts["trunkline-1"]}
    files["nats.service"] = files["nats.service"].replace("MemoryMax=", "MemoryMaximum=")
    assert "Unknown key" in verified(tmp_path, files)


def test_example_of_two_sockets_is_accepted(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """PostgreSQL and the knowledge base on one of them, NATS and the agents on the other one."""
    files = rendered(tmp_path_factory.mktemp("sockets"), "trunkline-2", **numa_example())["trunkline-2"]
    assert verified(tmp_path, files) == ""
    own = {"patroni.service": "1", "trunkline-rag@.service": "1", "nats.service": "0", "trunkline-agents@.service": "0"}
    for name, node in own.items():
        lines = files[name].splitlines()
        assert f"AllowedMemoryNodes={node}" in lines
        assert f"CPUAffinity={'32-63' if node == '1' else '0-31'}" in lines


def test_units_wait_for_the_volume_of_their_data(hosts: dict[str, dict[str, Any]]) -> None:
    """A server that starts without its volume would begin with empty data on the disk of the system."""
    needed = {
        "nats.service": "/var/lib/nats/jetstream",
        "patroni.service": "/var/lib/postgresql/15/trunkline",
        "trunkline-rag@.service": "/var/lib/trunkline/rag",
        "trunkline-backup.service": "/var/lib/trunkline/backups",
    }
    for values in hosts.values():
        paths = {volume["path"] for volume in values["storage__volumes"]}
        for unit, path in needed.items():
            assert f"RequiresMountsFor={path}" in values[unit].splitlines()
            assert any(path.startswith(f"{volume}/") for volume in paths), unit


def test_rule_sets_the_scheduler_before_the_queue(hosts: dict[str, dict[str, Any]]) -> None:
    """Each line is a rule for whole NVMe devices; a change of the scheduler sets the queue back."""
    lines = [line for line in hosts["trunkline-1"]["rules"].splitlines() if not line.startswith("#")]
    matches = 'ACTION=="add|change", SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", KERNEL=="nvme[0-9]*n[0-9]*"'
    assert lines == [f'{matches}, ATTR{{queue/scheduler}}="none"', f'{matches}, ATTR{{queue/nr_requests}}="1023"']
