"""Copies of the configuration with shorter times, so that a fault becomes an alert within seconds.

Only waiting times are divided: `for` of an alert, and the times of Alertmanager's groups. Windows of figures (`[10m]`)
and limits (a lag of 60 s) stay as they are, since another window would be another rule.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.monitoring import ROOT, RULES

FACTOR: Final = 30
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def divided(duration: str, factor: int) -> str:
    """Return a duration of Prometheus, such as `5m`, divided and in milliseconds."""
    match = re.fullmatch(r"(\d+)([smhd])", duration)
    assert match is not None, duration
    return f"{int(match[1]) * _UNITS[match[2]] * 1000 // factor}ms"


def write_rules(folder: Path, factor: int) -> None:
    """Write the rules of deploy/ with shorter waiting times."""
    folder.mkdir()
    for file in RULES:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for rule in (rule for group in content["groups"] for rule in group["rules"] if "for" in rule):
            rule["for"] = divided(rule["for"], factor)
        (folder / file.name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def alertmanager(receiver: str, factor: int) -> dict[str, Any]:
    """Return the configuration of deploy/ with shorter times, whose receivers are paths of a web server."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alertmanager.yml").read_text(encoding="utf-8"))
    for route in (content["route"], *content["route"]["routes"]):
        for key in route.keys() & {"group_wait", "group_interval", "repeat_interval"}:
            route[key] = divided(route[key], factor)
    for each in content["receivers"]:
        each["webhook_configs"] = [{"url": f"{receiver}/{each['name']}", "send_resolved": False}]
    return content
