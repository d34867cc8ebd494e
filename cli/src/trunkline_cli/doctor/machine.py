"""The machine: variables that no part reads, the data folder, the port."""

from __future__ import annotations

import difflib
import fcntl
import os
import shutil
import socket
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from trunkline_supervisor.adapters.disk import MIN_FREE_BYTES

from trunkline_cli.doctor.diagnosis import Diagnosis

_PREFIX: Final = "TRUNKLINE_"
_FREE_PREFIXES: Final = ("TRUNKLINE_SECRET_",)
_GIB: Final = 2**30


def examine_variables(given: Iterable[str], known: Collection[str]) -> list[Diagnosis]:
    """Return the variables that no setting reads, with the most similar one that exists."""
    unknown = sorted(
        name
        for name in (each.upper() for each in given)
        if name.startswith(_PREFIX) and name not in known and not name.startswith(_FREE_PREFIXES)
    )
    findings = []
    for name in unknown:
        similar = difflib.get_close_matches(name, known, n=1)
        hint = f"; is it {similar[0]}?" if similar else ""
        findings.append(Diagnosis("note", "settings", f"{name} is not a setting{hint}"))
    return findings or [Diagnosis("ok", "settings", "every TRUNKLINE_ variable is a setting")]


def examine_folder(folder: Path) -> list[Diagnosis]:
    """Return what would keep a suite from using its data folder."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return [Diagnosis("error", "data folder", f"this account cannot write to {existing}")]
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_BYTES:
        return [Diagnosis("error", "data folder", f"{free // 2**20} MiB are free on the disk of {folder}")]
    findings = [Diagnosis("ok", "data folder", f"{folder} is writable, {free / _GIB:.1f} GiB are free")]
    empty = [
        file.name for file in sorted((folder / "secrets").glob("**/*")) if file.is_file() and not file.stat().st_size
    ]
    findings += [Diagnosis("note", "data folder", f"secret {name} is empty: the next start draws it") for name in empty]
    return findings


def examine_port(port: int, data_dir: Path) -> Diagnosis:
    """Return whether a suite could serve a port; its own suite may be serving it already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return Diagnosis("error", "port", f"this account may not serve port {port}")
        except OSError:
            if is_running(data_dir):
                return Diagnosis("ok", "port", f"{port} is in use, and a suite runs in {data_dir}")
            return Diagnosis("error", "port", f"{port} is in use by another program")
    return Diagnosis("ok", "port", f"{port} is free")


def is_running(data_dir: Path) -> bool:
    """Return whether a suite holds the lock of a data folder."""
    try:
        with (data_dir / "lock").open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
