"""The nginx of this machine with the configuration of docs/operations.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from trunkline_supervisor.adapters.tcp import free_port

_GUIDE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
_START_TIMEOUT_S: Final = 20.0


@contextmanager
def documented_nginx(folder: Path, target: str) -> Iterator[str]:
    """Run nginx in front of `target` as the guide says; yield the address. Skip the test without nginx."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("no nginx on this machine: install it (apt-get install nginx) to test the guide's configuration")
    block = re.search(r"```nginx\n(.*?)```", _GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    location = block[1].replace("http://127.0.0.1:8080", target)
    port = free_port()
    config = folder / "nginx.conf"
    bodies = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The workers of a server that root starts are of another account, which may not use the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; {bodies}\nserver {{ listen 127.0.0.1:{port};\n{location} }} }}\n"
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/support"
        _wait(f"{url}/healthz", folder / "error.log")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own server
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text(errors="replace") if log.exists() else "nginx does not answer")
