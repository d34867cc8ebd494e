"""A Linux kernel as a process, with disks of its own, for tests that mount: no device of the machine is touched."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = _ROOT / ".venv" / "tools" / "storage"
_GUEST: Final = Path(__file__).with_name("guest.py")
_PATHS: Final = ("usr/sbin", "usr/bin", "sbin")
_LIBRARIES: Final = "x86_64-linux-gnu"


def require() -> Path:
    """Return the kernel's program; without it, or one that does not run here, the test is skipped."""
    kernel = TOOLS / "usr" / "bin" / "linux.uml"
    if not kernel.exists():
        pytest.skip("needs Linux in user mode and LVM: ./just storage-tools")
    if subprocess.run([kernel, "--version"], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("Linux in user mode does not run on this machine")
    return kernel


def run(
    folder: Path, argv: Sequence[str], environment: Mapping[str, str], *, disks: Mapping[str, int], timeout_s: float
) -> str:
    """Run a command as root of the guest and return its output; it must end with status 0.

    `disks` maps the letter of a device `/dev/ubdX` to its size in MiB; they are sparse files in `folder`, which is
    `/mnt/out` in the guest. Everything else there is read-only, or lost at its end.
    """
    kernel = require()
    [modules] = (TOOLS / "usr" / "lib" / "uml" / "modules").iterdir()
    path = ":".join([*(str(TOOLS / each) for each in _PATHS), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    libraries = ":".join(str(TOOLS / each / _LIBRARIES) for each in ("usr/lib", "lib"))
    known = {"PATH": path, "LD_LIBRARY_PATH": libraries, "HOME": "/run/home", "TMPDIR": "/var/tmp", "LC_ALL": "C.UTF-8"}  # noqa: S108
    command = {"argv": list(argv), "environment": {**known, **environment}}
    (folder / "command.json").write_text(json.dumps(command), encoding="utf-8")
    guest = folder / "init"
    guest.write_text(f"#!{sys.executable}\n" + _GUEST.read_text(encoding="utf-8"), encoding="utf-8")
    guest.chmod(0o755)
    devices = []
    for letter, mib in disks.items():
        disk = folder / f"{letter}.img"
        with disk.open("wb") as image:
            image.truncate(mib * 2**20)
        devices.append(f"ubd{ord(letter) - ord('a')}={disk}")
    variables = [f"GUEST_OUT={folder}", f"GUEST_MODULES={modules / 'kernel'}", f"PATH={path}"]
    arguments = ["mem=768M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1"]
    process = subprocess.Popen(
        [str(kernel), *arguments, *devices, *variables, f"init={guest}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={"HOME": str(folder), "TMPDIR": str(folder), "PATH": "/usr/bin:/bin"},
        start_new_session=True,
    )
    console = b""
    try:
        console, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        console = f"not at its end after {timeout_s} s".encode()
    finally:
        # Processes of the guest are processes of the machine, which outlive the first one.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    log = folder / "log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    status = (folder / "status").read_text(encoding="utf-8") if (folder / "status").exists() else "none"
    assert status == "0", f"status {status}\n{text[-6000:]}\n{console.decode(errors='replace')[-2000:]}"
    return text


def available(program: str) -> bool:
    """Return whether a program of the tools or of the machine exists."""
    return any((TOOLS / each / program).exists() for each in _PATHS) or shutil.which(program) is not None
