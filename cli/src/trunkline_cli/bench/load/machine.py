"""Facts about this machine and this working copy, for result files."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from trunkline_cli.bench.load.core.results import MachineFacts

_GIT_TIMEOUT_S: Final = 10.0
_CPU_FILE: Final = Path("/proc/cpuinfo")
_RESULTS: Final = "bench/results"
"""Folder whose changes do not change the code: a run may replace results that are kept there."""
_MIB: Final = 2**20


def machine_facts() -> MachineFacts:
    """Return cores, processor, memory and versions of this machine; no name and no address of it."""
    return MachineFacts(
        cores=os.cpu_count() or 1,
        model=_processor(),
        memory_mib=psutil.virtual_memory().total // _MIB,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _processor() -> str:
    try:
        lines = _CPU_FILE.read_text(encoding="utf-8-sig").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def commit_of_code() -> str:
    """Return the commit of the working copy that this code is from; the version of the package without one."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return version("trunkline-cli")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(top,exclude){_RESULTS}")
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    """Return the output of git; empty if it fails, or if this code is not in a working copy."""
    command = ("git", "-C", str(Path(__file__).parent), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)  # noqa: S603 - git of the path
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
