"""Files of the role `monitoring`, rendered by Ansible for the example of three hosts, and checked by promtool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.monitoring import RULES, program

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "ansible" / "roles"
PLAYBOOK = ROOT / ".venv" / "tools" / "ansible" / "bin" / "ansible-playbook"
HOSTS = ("trunkline-1", "trunkline-2", "trunkline-3")
SPECIALTIES = ["billing", "technical", "triage"]
JOBS = {"trunkline", "node", "haproxy", "etcd", "patroni"}
FILES = (
    "etc/prometheus/prometheus.yml",
    "etc/prometheus/alertmanager.yml",
    "etc/default/prometheus",
    "etc/default/prometheus-alertmanager",
    "etc/default/prometheus-node-exporter",
    "etc/systemd/system/prometheus.service.d/trunkline.conf",
    "etc/systemd/system/prometheus-alertmanager.service.d/trunkline.conf",
    "etc/systemd/system/prometheus-node-exporter.service.d/trunkline.conf",
)
DEFAULTS = ("pki", "wheelhouse", "nats", "etcd", "patroni", "haproxy", "trunkline", "monitoring")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not PLAYBOOK.exists(), reason="needs ansible-core: ./just ansible-lint installs it"),
]


def play(folder: Path) -> list[dict[str, Any]]:
    """Return a play that renders the files of each host into `folder/<host>.json`, with the defaults of all roles."""
    lookups = {file: f"lookup('ansible.builtin.template', '{file}.j2')" for file in FILES}
    lookups |= {"pages": "trunkline__metrics_pages | to_json", "targets": "monitoring__targets | to_nice_yaml"}
    content = ", ".join(f"'{name}': {value}" for name, value in lookups.items())
    pages = "{{ lookup('ansible.builtin.template', 'pages.json.j2') | from_json }}"
    copied = {"content": f"{{{{ {{{content}}} | to_json }}}}", "dest": f"{folder}/{{{{ inventory_hostname }}}}.json"}
    return [
        {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "vars": {
                "secrets_dir": f"{folder}/secrets",
                "wheelhouse__specialties": SPECIALTIES,
                "monitoring__deploy_dir": str(ROOT / "deploy"),
                "pki__dir": f"{folder}/pki",
            },
            "roles": [{"role": role, "when": False} for role in DEFAULTS],
            "tasks": [
                {"ansible.builtin.set_fact": {"trunkline__metrics_pages": pages}},
                {"ansible.builtin.copy": {**copied, "mode": "0644"}},
            ],
        }
    ]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the files of each host. A lookup in a role's variables finds its template beside the playbook."""
    folder = tmp_path_factory.mktemp("monitoring")
    for role in DEFAULTS:
        if (ROLES / role / "templates").exists():
            shutil.copytree(ROLES / role / "templates", folder / "templates", dirs_exist_ok=True)
    (folder / "pki").mkdir()
    (folder / "pki" / "ca.pem").touch()
    (folder / "playbook.yml").write_text(yaml.safe_dump(play(folder)))
    inventory = ROOT / "ansible" / "inventories" / "production.example"
    done = subprocess.run(
        [str(PLAYBOOK), "-i", str(inventory), str(folder / "playbook.yml")],
        cwd=ROOT / "ansible",
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for host in HOSTS:
        for name, text in json.loads((folder / f"{host}.json").read_text(encoding="utf-8")).items():
            file = folder / host / (name if "/" in name else f"{name}.yml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return folder


def load(file: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def checked(*command: str | Path) -> str:
    """Run a program, which must succeed, and return its output."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration(rendered: Path) -> None:
    """With the rules of deploy/ and the targets of all hosts, as promtool reads them on a host."""
    folder = rendered / "trunkline-3" / "etc" / "prometheus"
    for name in ("rules", "targets"):
        (folder / name).mkdir()
    for file in RULES:
        shutil.copy(file, folder / "rules")
    for host in HOSTS:
        shutil.copy(rendered / host / "targets.yml", folder / "targets" / f"{host}.yml")
    text = (folder / "prometheus.yml").read_text(encoding="utf-8")
    (folder / "checked.yml").write_text(text.replace("/etc/prometheus", str(folder)), encoding="utf-8")
    output = checked(program("promtool"), "check", "config", folder / "checked.yml")
    assert f"{len(RULES)} rule files found" in output


def test_alertmanager_has_the_routes_of_deploy_and_the_receivers_of_the_inventory(rendered: Path) -> None:
    """One source of routes and of companions; an example address is not sent to."""
    file = rendered / "trunkline-3" / "etc" / "prometheus" / "alertmanager.yml"
    checked(program("amtool"), "check-config", file)
    own, source = load(file), load(ROOT / "deploy" / "alertmanager.yml")
    assert {key: own[key] for key in own.keys() - {"receivers"}} == {
        key: source[key] for key in source.keys() - {"receivers"}
    }
    variables = load(ROOT / "ansible" / "inventories" / "production.example" / "group_vars" / "all.yml")
    assert own["receivers"] == variables["monitoring__receivers"]
    needed = {receiver["name"] for receiver in source["receivers"]}
    default = load(ROLES / "monitoring" / "defaults" / "main.yml")["monitoring__receivers"]
    assert {receiver["name"] for receiver in default} == needed


def test_every_page_of_every_host_is_scraped(rendered: Path) -> None:
    """On the private network, each under the name of its host; no two processes share a port."""
    hosts = load(ROOT / "ansible" / "inventories" / "production.example" / "hosts.yml")["all"]["hosts"]
    for host in HOSTS:
        targets = load(rendered / host / "targets.yml")
        assert {target["labels"]["job"] for target in targets} == JOBS
        assert {target["labels"]["instance"] for target in targets} == {host}
        addresses = [address for target in targets for address in target["targets"]]
        assert len(set(addresses)) == len(addresses)
        assert {address.partition(":")[0] for address in addresses} == {hosts[host]["private_address"]}
        pages = load(rendered / host / "pages.yml")
        own = [target for target in targets if target["labels"]["job"] == "trunkline"]
        assert [(page["service"], page["process"]) for page in pages] == [
            (target["labels"]["service"], target["labels"]["process"]) for target in own
        ]
        agents = {page["process"] for page in pages if page["service"] == "agents"}
        assert agents == {f"agents-{specialty}-1" for specialty in SPECIALTIES}


def test_port_of_a_process_is_the_same_on_every_host(rendered: Path) -> None:
    """And of every run, since a port that moves restarts its process. A firewall needs one list."""
    ports: dict[str, set[int]] = {}
    for host in HOSTS:
        for page in load(rendered / host / "pages.yml"):
            ports.setdefault(page["process"], set()).add(page["port"])
    assert all(len(each) == 1 for each in ports.values())
    assert len(set().union(*ports.values())) == len(ports)
    assert [ports[f"agents-{specialty}-1"] for specialty in SPECIALTIES] == [{9600}, {9620}, {9640}]


def test_arguments_are_one_line_without_quotes_inside(rendered: Path) -> None:
    """Systemd splits them at spaces; an address that is missing would listen on every interface."""
    for name in ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter"):
        lines = (rendered / "trunkline-3" / "etc" / "default" / name).read_text(encoding="utf-8").splitlines()
        [arguments] = [line for line in lines if not line.startswith("#")]
        assert arguments.startswith('ARGS="--web.listen-address=')
        assert arguments.count('"') == 2
        address = arguments.partition("--web.listen-address=")[2].split()[0].rpartition(":")[0]
        assert address in {"127.0.0.1", "10.0.0.13"}
