"""Connections of the playbooks to a host, by the configuration of ansible/."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.lab import ROOT

ANSIBLE = ROOT / ".venv" / "tools" / "ansible" / "bin" / "ansible"


@pytest.mark.processes
@pytest.mark.skipif(not ANSIBLE.exists(), reason="needs ansible-core: ./just ansible-lint installs it")
def test_broken_connection_does_not_end_a_run(tmp_path: Path) -> None:
    """A connection that ssh gives up is made again, and the task runs."""
    broken = tmp_path / "broken"
    ssh = tmp_path / "ssh"
    # Ends as ssh does for a silent host at first; afterwards it runs the command here.
    ssh.write_text(
        f'#!/bin/sh\nif [ ! -e "{broken}" ]; then\ntouch "{broken}"\necho "server not responding" >&2\nexit 255\n'
        'fi\nfor command; do :; done\nexec sh -c "$command"\n'
    )
    ssh.chmod(0o755)
    command = [
        str(ANSIBLE),
        "all",
        "-i",
        "host,",
        "-m",
        "raw",
        "-a",
        "echo reached",
        "-e",
        f"ansible_ssh_executable={ssh}",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT / "ansible",
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert broken.exists()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reached" in done.stdout
