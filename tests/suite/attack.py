"""Attacks of one account on a suite of another: run as a program, it prints everything that it could reach.

Reads the targets as JSON from its input; needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

_TIMEOUT_S = 3.0
Attack = Callable[[], object]


def attacks(targets: dict[str, Any]) -> Iterator[tuple[str, Attack]]:
    """Return every attack with its name; none of them changes anything if it succeeds."""
    for path in map(Path, targets["paths"]):
        yield f"list {path}", partial(os.listdir, path)
        yield f"read {path}", partial(read, path)
        yield f"write {path}", partial(open_for_writing, path)
    for name in targets["sockets"]:
        yield f"connect {name}", partial(connect, name)
    for pid in targets["pids"]:
        folder = Path(f"/proc/{pid}")
        for name in ("environ", "maps", "auxv"):
            yield f"read {folder / name}", partial(read, folder / name)
        yield f"list {folder}/fd", partial(os.listdir, folder / "fd")
        yield f"write {folder}/mem", partial(open_for_writing, folder / "mem")
        yield f"signal {pid}", partial(os.kill, pid, 0)
    yield "operators' API", partial(read_status, targets["url"])


def open_for_writing(path: Path) -> None:
    """Open a file for writing, or ask for the right to write if it is a folder."""
    if path.is_dir():
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(path)
    else:
        os.close(os.open(path, os.O_WRONLY))


def read(path: Path) -> bytes:
    """Read the beginning of a file."""
    with path.open("rb") as file:
        return file.read(1)


def connect(path: str) -> None:
    """Connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_S)
        client.connect(path)


def read_status(url: str) -> None:
    """Read the processes of the suite without a token."""
    urllib.request.urlopen(f"{url}/v1/ops/status", timeout=_TIMEOUT_S).close()  # noqa: S310 - a suite of this machine


def main() -> None:
    """Print the names of the attacks that succeeded, as JSON."""
    reached = []
    for name, attack in attacks(json.load(sys.stdin)):
        try:
            attack()
        except (OSError, urllib.error.URLError):
            continue
        reached.append(name)
    print(json.dumps(reached))


if __name__ == "__main__":
    main()
