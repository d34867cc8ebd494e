"""Prometheus, Alertmanager, a node exporter and the receiver of notifications, around one page of metrics."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml
from aiohttp import web
from trunkline_supervisor.adapters.tcp import free_port

from tests.alerts.short import alertmanager, write_rules
from tests.support.http_server import serve_http
from tests.support.monitoring import ROOT, Prometheus, alertmanager_program, program, running

Labels: TypeAlias = frozenset[tuple[str, str]]
INTERVAL_S: Final = 2
_START_TIMEOUT_S: Final = 60.0


def name_of(labels: Labels) -> str:
    """Return the name of an alert."""
    return dict(labels)["alertname"]


@dataclass(slots=True)
class Notifications:
    """Alerts that arrived, by receiver."""

    received: dict[str, set[str]] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        """Accept a notification of Alertmanager."""
        names = self.received.setdefault(request.match_info["receiver"], set())
        names |= {alert["labels"]["alertname"] for alert in (await request.json())["alerts"]}
        return web.Response()


@dataclass(slots=True)
class Monitor:
    """A running Prometheus with Alertmanager; a call blocks for at most ten seconds."""

    prometheus: Prometheus
    alertmanager: str
    notifications: Notifications
    exporter: list[str]
    folder: Path
    _exporting: subprocess.Popen[bytes] | None = None

    def result(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now."""
        return self.prometheus.result(expression)

    def alerts(self, state: str) -> set[Labels]:
        """Return the alerts of Prometheus that are `pending` or `firing`."""
        found = self.prometheus.get("alerts")["alerts"]
        return {frozenset(alert["labels"].items()) for alert in found if alert["state"] == state}

    def fired_since(self, at: float) -> set[Labels]:
        """Return the alerts that have fired at any time since a time of the wall clock."""
        window = int(time.time() - at) + 1
        found = self.result(f'last_over_time(ALERTS{{alertstate="firing"}}[{window}s])')
        return {
            frozenset(each["metric"].items() - {("alertstate", "firing"), ("__name__", "ALERTS")}) for each in found
        }

    def held_back(self) -> set[str]:
        """Return the names of alerts that Alertmanager holds back, since the alert of their cause is sent."""
        with urllib.request.urlopen(f"{self.alertmanager}/api/v2/alerts", timeout=10) as response:  # noqa: S310 - our own
            found = json.load(response)
        return {alert["labels"]["alertname"] for alert in found if alert["status"]["inhibitedBy"]}

    def start_exporter(self) -> None:
        """Start the node exporter."""
        with (self.folder / "exporter.log").open("ab") as log:
            self._exporting = subprocess.Popen(self.exporter, stdout=log, stderr=log)

    def stop_exporter(self) -> None:
        """Stop the node exporter."""
        if self._exporting is not None:
            self._exporting.terminate()
            self._exporting.wait(30)
            self._exporting = None


def _write_configuration(folder: Path, pages: dict[str, str], manager: str, factor: int) -> None:
    """Write rules and configuration of deploy/, with the addresses of this run and short intervals."""
    folder.mkdir()
    write_rules(folder / "rules", factor)
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{INTERVAL_S}s")
    config["rule_files"] = ["rules/*.yml"]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [manager]}]}]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [pages[job["job_name"]]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")


@asynccontextmanager
async def monitoring(folder: Path, page: str, *, factor: int) -> AsyncIterator[Monitor]:
    """Scrape a page of metrics (`host:port`); yield when Prometheus has it and the node exporter's."""
    prometheus, manager, exporter = (f"127.0.0.1:{free_port()}" for _ in range(3))
    notifications = Notifications()
    _write_configuration(folder, {"trunkline": page, "node": exporter}, manager, factor)
    commands = (
        [
            *(alertmanager_program(), "--config.file=alertmanager.yml", f"--storage.path={folder / 'alertmanager'}"),
            *(f"--web.listen-address={manager}", "--cluster.listen-address="),
        ],
        [
            *(program("prometheus"), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address={prometheus}",
        ],
    )
    async with serve_http([web.post("/{receiver}", notifications.take)]) as receiver:
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager(receiver, factor)), encoding="utf-8")
        command = [program("prometheus-node-exporter"), f"--web.listen-address={exporter}"]
        monitor = Monitor(Prometheus(f"http://{prometheus}"), f"http://{manager}", notifications, command, folder)
        with ExitStack() as stack:
            for each in commands:
                stack.enter_context(running(folder, *each))
            monitor.start_exporter()
            stack.callback(monitor.stop_exporter)
            await until(lambda: len(monitor.result("up == 1")) == 2, "both pages are scraped", _START_TIMEOUT_S)
            yield monitor


async def until(condition: Callable[[], bool], description: str, timeout_s: float) -> None:
    """Wait for a condition, evaluated in a thread; an address that does not answer counts as not meeting it."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if await asyncio.to_thread(condition):
                return
        except (OSError, KeyError):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {description}")
        await asyncio.sleep(0.2)
