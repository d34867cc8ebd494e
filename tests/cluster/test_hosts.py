"""The script of the lab's hosts, on a real Docker; skipped without one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.lab import ROOT, Lab, LabError

IMAGE = f"trunkline-lab-host:{hashlib.sha256((ROOT / 'ansible' / 'lab' / 'image.sh').read_bytes()).hexdigest()[:12]}"


def has_image() -> bool:
    """Return whether Docker runs and has the image, which takes minutes to build."""
    try:
        done = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, timeout=30, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not has_image(), reason="needs Docker and the image of the lab: ./just cluster-test builds it"),
    pytest.mark.timeout(180),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Start a lab of one host under a name of its own."""
    lab = Lab(tmp_path / "first", hosts=1, name=f"trunkline-test-{os.getpid()}-{uuid.uuid4().hex[:6]}")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


def test_lab_of_another_folder_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    """Hosts of a name that runs already are neither replaced nor removed, running or stopped."""
    [host] = lab.addresses
    container = lab.docker("inspect", "--format", "{{.Id}}", lab.container(host))
    other = Lab(tmp_path / "second", hosts=1, name=lab.name)
    with pytest.raises(LabError, match=f"{lab.name} is in use"):
        other.up()
    lab.docker("kill", lab.container(host))
    other.down()
    assert lab.docker("inspect", "--format", "{{.Id}}", lab.container(host)) == container
    assert lab.docker("network", "inspect", "--format", "{{.Name}}", lab.name).strip() == lab.name
