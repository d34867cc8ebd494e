"""Templates of roles, rendered by Ansible for the hosts of an inventory, without a host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
ROLES: Final = ROOT / "ansible" / "roles"
PLAYBOOK: Final = ROOT / ".venv" / "tools" / "ansible" / "bin" / "ansible-playbook"
DEFAULTS: Final = ("base", "storage", "pki", "wheelhouse", "nats", "etcd", "patroni", "haproxy", "trunkline", "backup")


def run(playbook: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook with the roles of this checkout."""
    return subprocess.run(
        [str(PLAYBOOK), *arguments, str(playbook)],
        cwd=ROOT / "ansible",
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def render(
    folder: Path,
    inventory: str,
    files: Mapping[str, str],
    values: Sequence[str],
    variables: Mapping[str, Any],
    hosts: str = "all",
) -> dict[str, dict[str, Any]]:
    """Return the texts of `files` and the values of variables by host.

    `files` maps a name to the arguments of the lookup of a template; `variables` need `memory_mb`. A template that a
    role's variable looks up is found beside the playbook.
    """
    for role in DEFAULTS:
        if (ROLES / role / "templates").exists():
            shutil.copytree(ROLES / role / "templates", folder / "templates", dirs_exist_ok=True)
    found = [f"'{name}': lookup('ansible.builtin.template', {arguments})" for name, arguments in files.items()]
    found += [f"'{name}': {name}" for name in values]
    content = f"{{{{ {{{', '.join(found)}}} | to_json }}}}"
    memory = {"memtotal_mb": variables["memory_mb"], "virtualization_type": "kvm", "cacheable": True}
    play = {
        "hosts": hosts,
        "connection": "local",
        "gather_facts": False,
        "vars": {"secrets_dir": str(folder / "secrets"), "pki__dir": str(folder), **variables},
        "roles": [{"role": role, "when": False} for role in DEFAULTS],
        "tasks": [
            {"ansible.builtin.set_fact": memory},
            {
                "ansible.builtin.copy": {
                    "content": content,
                    "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
                    "mode": "0600",
                }
            },
        ],
    }
    (folder / "playbook.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    done = run(folder / "playbook.yml", "-i", str(ROOT / "ansible" / "inventories" / inventory))
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
