"""The scripts that roles of ansible/ run on the control host, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).parents[2] / "ansible" / "roles"


def script(role: str, name: str) -> ModuleType:
    """Import `ansible/roles/<role>/files/<name>.py`."""
    spec = importlib.util.spec_from_file_location(f"ansible_{role}_{name}", ROLES / role / "files" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
