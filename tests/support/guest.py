"""First process of a Linux kernel in user mode: mounts, modules, one command, power off.

The root is that of the machine, read-only; folders that are written to are in memory. Variables of the kernel's command
line: GUEST_OUT, a folder of the machine that is writable, for `command.json`, `log` and `status`; GUEST_MODULES.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from pathlib import Path

_FINIT_MODULE = 313
_POWER_OFF = 0x4321FEDC
_MODULES = ("drivers/md/dm-mod", "fs/quota/quota_tree", "fs/quota/quota_v2")
_OUT = Path("/mnt/out")
_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, target: str, *options: str) -> None:
    """Mount a file system of the kernel."""
    subprocess.run(["mount", "-t", kind, *options, "none", target], check=True)


def main() -> int:
    """Run the command and return its status."""
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    for folder in ("/run", "/mnt", "/var/tmp"):  # noqa: S108
        mount("tmpfs", folder)
    # A copy that can be written to, of the files that this account may read.
    subprocess.run(["cp", "-a", "/etc", "/run/etc"], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["mount", "--bind", "/run/etc", "/etc"], check=True)
    _OUT.mkdir()
    mount("hostfs", str(_OUT), "-o", os.environ["GUEST_OUT"])
    Path("/dev/shm").mkdir(exist_ok=True)  # noqa: S108
    mount("tmpfs", "/dev/shm")  # noqa: S108
    for name in _MODULES:
        with (Path(os.environ["GUEST_MODULES"]) / f"{name}.ko").open("rb") as module:
            if _LIBC.syscall(_FINIT_MODULE, module.fileno(), b"", 0):
                print(name, os.strerror(ctypes.get_errno()), flush=True)
    command = json.loads((_OUT / "command.json").read_text(encoding="utf-8"))
    with (_OUT / "log").open("wb") as log:
        done = subprocess.run(
            command["argv"],
            env={**os.environ, **command["environment"]},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    return done.returncode


if __name__ == "__main__":
    status = 255
    try:
        status = main()
    finally:
        (_OUT / "status").write_text(str(status), encoding="utf-8")
        os.sync()
        _LIBC.reboot(_POWER_OFF)
