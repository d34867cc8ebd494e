"""Rules of Prometheus and the configuration of Alertmanager: valid, tested alert by alert, and explained."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_cli.reference.telemetry import metrics
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.monitoring import ROOT, RULES, alertmanager_program, alerts, metric_names, program, rules
from tests.support.suite import wait_until

UNIT_TESTS = sorted((ROOT / "tests" / "deployment" / "rules").glob("*.yml"))
ALERTMANAGER = ROOT / "deploy" / "alertmanager.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ALERTS = alerts()
OF_OTHERS = {
    "up",
    "process_start_time_seconds",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_systemd_unit_state",
    "node_time_seconds",
    "node_timex_sync_status",
    "trunkline_postgres_archive_checked_timestamp_seconds",
    "trunkline_postgres_full_backup_timestamp_seconds",
    "trunkline_postgres_wal_waiting_seconds",
}
"""Metrics of Prometheus itself, of its client library, and of the node exporter with the files of the roles."""
OF_NODES = {"trunkline_process_up"}
"""Metrics of the page of a node alone."""


def succeeds(*command: str | Path) -> str:
    """Run a command, which must succeed, and return its output."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def section(anchor: str) -> str:
    """Return the text below the heading that has an anchor, up to the next heading."""
    for heading, text in re.findall(
        r"^#{2,} ([^\n]+)\n(.*?)(?=^#{2,} |\Z)", OPERATIONS, flags=re.MULTILINE | re.DOTALL
    ):
        if re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") == anchor:
            return str(text)
    raise AssertionError(f"docs/operations.md has no section #{anchor}")


def unit_tests(file: Path) -> list[dict[str, Any]]:
    """Return the unit tests of a file."""
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))["tests"])


def expected_alerts(test: dict[str, Any]) -> set[str]:
    """Return the alerts that a unit test expects to fire."""
    samples = [sample["labels"] for query in test["promql_expr_test"] for sample in query.get("exp_samples", [])]
    return {name for labels in samples for name in re.findall(r'alertname="(\w+)"', labels)}


def test_configuration_of_prometheus_loads_all_rules() -> None:
    """As promtool reads it, with the rules."""
    checked = succeeds(program("promtool"), "check", "config", ROOT / "deploy" / "prometheus.yml")
    assert f"{len(RULES)} rule files found" in checked
    assert all(file.name in checked for file in RULES)


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_are_silent_as_expected(file: Path) -> None:
    """The unit tests of the rules pass."""
    succeeds(program("promtool"), "test", "rules", file)


def test_every_alert_has_a_unit_test() -> None:
    """In which it fires."""
    expected = {name for file in UNIT_TESTS for test in unit_tests(file) for name in expected_alerts(test)}
    assert expected == ALERTS.keys()


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_no_alert_fires_while_all_is_well(file: Path) -> None:
    """The first unit test of each file has every series that an alert of the file reads, and expects none to fire."""
    first = unit_tests(ROOT / "tests" / "deployment" / "rules" / file.name)[0]
    assert first["name"] == "healthy"
    assert not expected_alerts(first)
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    read = {name for expression in expressions for name in metric_names(expression)} - recorded
    given = {series["series"].partition("{")[0] for series in first["input_series"]}
    assert given == read


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_what_it_means_and_what_to_do(name: str) -> None:
    """Its runbook is a section of the operations manual, which explains it or is its procedure."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    document, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert document == "docs/operations.md"
    assert section(anchor).strip()
    [row] = re.findall(rf"^\| `{name}` \|(.+)\|(.+)\|$", OPERATIONS, flags=re.MULTILINE)
    assert all(cell.strip() for cell in row)


def test_manual_explains_no_alert_that_does_not_exist() -> None:
    """A renamed alert takes its row with it."""
    assert set(re.findall(r"^\| `(Trunkline\w+)` \|", OPERATIONS, flags=re.MULTILINE)) == ALERTS.keys()


def test_rules_read_metrics_that_exist() -> None:
    """Of the code, of a rule, or of an exporter. A renamed metric would silence its alert."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    exposed = {
        name
        for metric in metrics()
        for name in (
            [f"{metric.name}_{part}" for part in ("bucket", "count", "sum")]
            if metric.kind == "histogram"
            else [metric.name]
        )
    }
    read = {name for rule in rules() for name in metric_names(rule["expr"])}
    assert read - recorded - exposed - OF_NODES == OF_OTHERS


def test_names_of_metrics_are_found() -> None:
    """In an expression with everything that is no name."""
    expression = 'sum by (job) (rate(a_total{b="c"}[5m])) / on (job) d:e:f > 14.4 * 1 or (g unless g offset 10m) > 0'
    assert metric_names(expression) == {"a_total", "d:e:f", "g"}


def test_alertmanager_routes_by_severity() -> None:
    """The configuration is valid, and a critical alert goes to the pager."""
    amtool = program("amtool")
    succeeds(amtool, "check-config", ALERTMANAGER)
    for severity, receiver in (("critical", "pager"), ("warning", "channel")):
        test = (amtool, "config", "routes", "test", "--config.file", ALERTMANAGER, f"severity={severity}")
        assert succeeds(*test).strip() == receiver


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A real Alertmanager with the configuration; nothing leaves it before the waiting time of a group."""
    server = alertmanager_program()
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        server,
        f"--config.file={ALERTMANAGER}",
        f"--storage.path={tmp_path}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(30)


def alerts_of(url: str, body: list[dict[str, Any]] | None = None) -> Any:
    """Post alerts, or return those that Alertmanager has."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/api/v2/alerts", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.loads(response.read() or b"null")


@pytest.mark.processes
def test_companions_of_a_fault_are_held_back(alertmanager: str) -> None:
    """Of the same suite, stream or certificate, while the cause fires; the same alert elsewhere is sent."""

    def alert(name: str, **labels: str) -> dict[str, Any]:
        severity = ALERTS[name]["labels"]["severity"]
        return {"labels": {"alertname": name, "severity": severity, "job": "trunkline", **labels}}

    causes = [
        alert("TrunklineStreamWithoutLeader", stream="INBOX"),
        alert("TrunklinePoolFailed", pool="rag"),
        alert("TrunklineCertificateExpiresSoon", certificate="server"),
    ]
    companions = [
        alert("TrunklineStreamReplicaMissing", stream="INBOX"),
        alert("TrunklineTurnFailuresBurnFast"),
        alert("TrunklineAuditLag"),
        alert("TrunklineQueueDeep", specialty="billing", lane="normal"),
        alert("TrunklineProcessRestarts", process="rag-1"),
        alert("TrunklineCertificateExpires", certificate="server"),
    ]
    others = [
        alert("TrunklineStreamReplicaMissing", stream="NOTICES"),
        alert("TrunklineAuditLag", job="trunkline-two"),
        alert("TrunklineCertificateExpires", certificate="client"),
        alert("TrunklineBreakerOpen", provider="acme", model="large"),
    ]
    wait_until(lambda: alerts_of(alertmanager) == [], "Alertmanager answers")
    alerts_of(alertmanager, [*causes, *companions, *others])

    def held_back() -> list[dict[str, str]]:
        return [each["labels"] for each in alerts_of(alertmanager) if each["status"]["inhibitedBy"]]

    def in_order(found: Iterable[dict[str, str]]) -> list[list[tuple[str, str]]]:
        return sorted(sorted(labels.items()) for labels in found)

    expected = in_order(each["labels"] for each in companions)
    wait_until(lambda: in_order(held_back()) == expected, "the companions are held back")


def test_companions_of_a_fault_are_named_with_the_reason() -> None:
    """Each rule names alerts that exist, and a comment stands before it or its group."""
    inhibitions = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))["inhibit_rules"]
    for inhibition in inhibitions:
        for matchers in (inhibition["source_matchers"], inhibition["target_matchers"]):
            pattern = re.search(r'alertname=~?"([^"]+)"', " ".join(matchers))
            assert pattern is not None
            for name in pattern[1].split("|"):
                assert [alert for alert in ALERTS if re.fullmatch(name, alert)], name
    text = ALERTMANAGER.read_text(encoding="utf-8").partition("inhibit_rules:\n")[2]
    assert all(group.strip().startswith("#") for group in text.split("\n\n"))
