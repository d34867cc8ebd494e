"""Rules, dashboards and programs of Prometheus for tests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
RULES: Final = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS: Final = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
_WORDS: Final = frozenset({"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "inf", "NaN"})
_NO_NAMES: Final = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)|\boffset\s+\w+')
_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?![A-Za-z0-9_:]|\s*\()")


def program(name: str) -> str:
    """Return the path of a program of the machine or of `./just monitoring-tools`; without it the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path=ROOT / ".venv" / "tools" / "prometheus")
    if found is None:
        pytest.skip(f"{name} is not installed: ./just monitoring-tools")
    return found


def alertmanager_program() -> str:
    """Return the path of Alertmanager; where the unpacked one may not have a mount of its own, the test is skipped."""
    found = program("prometheus-alertmanager")
    if subprocess.run([found, "--version"], capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("Alertmanager is not installed, and the unpacked one needs the right to mount")
    return found


class Prometheus:
    """A client of the API of Prometheus; a call blocks for at most ten seconds."""

    def __init__(self, url: str) -> None:
        """`url` is the address of the server."""
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a path."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as response:  # noqa: S310
            reply = json.load(response)
        assert reply["status"] == "success"
        return reply["data"]

    def result(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now; an invalid one fails with status 400."""
        return list(self.get("query", query=expression)["result"])

    def names(self) -> set[str]:
        """Return the names of all series."""
        return set(self.get("label/__name__/values"))


@contextmanager
def running(folder: Path, *command: str) -> Iterator[None]:
    """Run a program in a folder, which gets its log, until the end of the block."""
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def rules() -> Iterator[dict[str, Any]]:
    """Yield all recording and alert rules."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alert rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboards() -> Iterator[dict[str, Any]]:
    """Yield the dashboards."""
    for file in DASHBOARDS:
        yield json.loads(file.read_text(encoding="utf-8"))


def queries(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the queries of a dashboard."""
    for panel in dashboard["panels"]:
        yield from panel.get("targets", [])


def metric_names(expression: str) -> set[str]:
    """Return the names of the series that a PromQL expression reads."""
    text = _NO_NAMES.sub(" ", re.sub(r"#[^\n]*", "", expression))
    return {name for name in _NAME.findall(text) if name not in _WORDS and not re.fullmatch(r"\d*[smhdwy]", name)}
