"""Rules and dashboards on a real Prometheus, which scrapes a running suite and the node exporter."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import yaml
from trunkline_supervisor.adapters.tcp import free_port

from tests.suite.test_node_metrics import page
from tests.support.monitoring import ROOT, Prometheus, dashboards, metric_names, program, queries, rules, running
from tests.support.suite import Suite, run_cli, wait_until

pytestmark = pytest.mark.processes

ANYTHING = {"$job": ".*", "$host": ".*", "$__rate_interval": "5m"}
"""Values of the variables of a dashboard."""


def holds(prometheus: Prometheus, expression: str) -> bool:
    """Return whether an expression has a value now."""
    return bool(prometheus.result(expression))


@pytest.fixture(scope="module")
def prometheus(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The configuration of deploy/, with the addresses of this test and short intervals; a turn has been answered."""
    folder = tmp_path_factory.mktemp("prometheus")
    metrics = urllib.parse.urlsplit(suite.status()["supervisor"]["detail"]["metrics"]).netloc
    exporter = f"127.0.0.1:{free_port()}"
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    del config["alerting"]
    config["global"] = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "3s"}
    config["rule_files"] = [str(ROOT / "deploy" / pattern) for pattern in config["rule_files"]]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [metrics if job["job_name"] == "trunkline" else exporter]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    server = Prometheus(f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        stack.enter_context(
            running(
                folder,
                program("prometheus"),
                "--config.file=prometheus.yml",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        stack.enter_context(running(folder, program("prometheus-node-exporter"), f"--web.listen-address={exporter}"))
        wait_until(lambda: len(server.result("up == 1")) == 2, "both targets are scraped", timeout_s=60)
        assert run_cli(suite, "ask", "I was charged twice for my order, can I get a refund?").returncode == 0
        wait_until(
            lambda: bool(server.result("count_over_time(trunkline_turn_seconds_count[5m]) > 1")),
            "two scrapes of a turn",
            timeout_s=60,
        )
        yield server


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    """Without an error, which a unit test would not show for series that it does not have."""

    def evaluated() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in evaluated()), "a round of all rules", timeout_s=60)
    assert [rule for rule in evaluated() if rule["health"] != "ok"] == []
    assert len(evaluated()) == len(list(rules()))


def test_every_metric_of_a_rule_or_dashboard_is_on_a_page(prometheus: Prometheus, suite: Suite) -> None:
    """Declared on the page of the node, even if nothing was counted yet, or scraped from the node exporter.

    Units exist on hosts with systemd only, and archives of WAL with a repository; the lab of hosts has both.
    """
    of_hosts = {"ALERTS", "node_systemd_unit_state", "trunkline_postgres_archive_checked_timestamp_seconds"}
    of_hosts |= {"trunkline_postgres_wal_waiting_seconds", "trunkline_postgres_full_backup_timestamp_seconds"}
    declared = {
        name
        for family, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page(suite), flags=re.MULTILINE)
        for name in ([f"{family}_{part}" for part in ("bucket", "count", "sum")] if kind == "histogram" else [family])
    }
    read = {name for rule in rules() for name in metric_names(rule["expr"])}
    read |= {name for model in dashboards() for query in queries(model) for name in metric_names(query["expr"])}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert read - declared - recorded - prometheus.names() <= of_hosts


@pytest.mark.parametrize("model", dashboards(), ids=lambda model: model["uid"])
def test_every_query_of_a_dashboard_has_an_answer(prometheus: Prometheus, model: dict[str, Any]) -> None:
    """It is valid; if all of its series exist, it has a value, with the labels that its legend shows."""
    for query in queries(model):
        expression = query["expr"]
        for variable, value in ANYTHING.items():
            expression = expression.replace(variable, value)
        result = prometheus.result(expression)
        if "> 0" in expression or not metric_names(expression) <= prometheus.names():
            continue
        if not result:  # a series that has just begun has no rate before its second scrape
            wait_until(partial(holds, prometheus, expression), f"a value of {expression}", timeout_s=60)
            result = prometheus.result(expression)
        for label in re.findall(r"\{\{(\w+)\}\}", query["legendFormat"]):
            assert any(label in series["metric"] for series in result), (expression, label)


def test_exporter_of_the_node_needs_no_filter(prometheus: Prometheus) -> None:
    """The rule for disks finds one, whatever its kind of file system is called."""
    assert prometheus.result("node_filesystem_size_bytes")
