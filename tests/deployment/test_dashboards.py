"""Dashboards of Grafana: generated, laid out, and of metrics that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_cli.reference.telemetry import metrics

from tests.support.monitoring import DASHBOARDS, ROOT, dashboards, metric_names, queries, rules

GRAFANA = ROOT / "deploy" / "grafana"
MODELS = list(dashboards())
OWN = {metric.name: metric for metric in metrics()}
PROCESS_LABELS = {"job", "instance", "service", "process"}
"""Labels of a scrape, and those that the page of a node adds."""
EXPORTED = re.compile(r"up|ALERTS|trunkline_process_up|process_\w+|node_\w+")
"""Metrics of Prometheus, its client library and the node exporter: `tests/suite/test_monitoring.py` finds them."""
KINDS = {"row", "timeseries", "stat", "table"}
UNITS = {"short", "s", "bytes", "percentunit", "cps", "Bps", "currencyUSD"}


def each() -> pytest.MarkDecorator:
    """Return the mark that runs a test for each dashboard."""
    return pytest.mark.parametrize("model", MODELS, ids=lambda model: model["uid"])


def test_files_are_what_the_generator_gives(tmp_path: Path) -> None:
    """An edited file would be lost with the next change."""
    subprocess.run([sys.executable, str(GRAFANA / "generate.py"), str(tmp_path)], check=True, timeout=60)
    assert {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()} == {
        file.name: file.read_text(encoding="utf-8") for file in DASHBOARDS
    }


def test_each_dashboard_has_an_address_of_its_own() -> None:
    """Under which its file is found; Grafana permits 40 characters."""
    assert len(MODELS) >= 5
    assert [model["uid"] for model in MODELS] == [file.stem for file in DASHBOARDS]
    assert all(re.fullmatch(r"[a-z-]{1,40}", model["uid"]) for model in MODELS)
    assert len({model["title"] for model in MODELS}) == len(MODELS)


@each()
def test_panels_neither_overlap_nor_leave_the_page(model: dict[str, Any]) -> None:
    """A page is 24 columns wide; ids and the names of queries are unique."""
    cells = [
        (x, y)
        for panel in model["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    ids = [panel["id"] for panel in model["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in model["panels"]:
        assert panel["type"] in KINDS
        names = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(names)) == len(names)
        assert names or panel["type"] == "row"
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"] in UNITS


@each()
def test_every_query_uses_the_chosen_data_source_and_suite(model: dict[str, Any]) -> None:
    """Each variable of a query is defined in its dashboard."""
    variables = {variable["name"] for variable in model["templating"]["list"]}
    assert variables in ({"datasource", "job"}, {"datasource", "host"})
    for query in queries(model):
        assert query["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        used = set(re.findall(r"\$(\w+)", query["expr"])) - {"__rate_interval"}
        assert used == variables - {"datasource"}


@each()
def test_queries_read_metrics_and_labels_that_exist(model: dict[str, Any]) -> None:
    """A renamed metric would leave a panel empty."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for query in queries(model):
        names = metric_names(query["expr"])
        assert names
        for name in names - recorded:
            own = OWN.get(name) or OWN.get(re.sub(r"_(bucket|count|sum)$", "", name))
            assert own is not None or EXPORTED.fullmatch(name), name
            if own is not None and name == own.name:
                assert own.kind != "histogram", name
        if names <= OWN.keys():
            known = set.intersection(*({*OWN[name].labels} for name in names)) | PROCESS_LABELS
            grouped = re.findall(r"\bby \(([^)]*)\)", query["expr"])
            assert {label.strip() for labels in grouped for label in labels.split(",")} <= known, query["expr"]
            assert set(re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])) <= known, query["legendFormat"]


def test_every_subject_of_operation_has_a_panel() -> None:
    """Latency percentiles, agents by specialty and node, models, caches, nodes, queues and cost."""
    shown = {name for model in MODELS for query in queries(model) for name in metric_names(query["expr"])}
    assert shown >= {
        "trunkline_turn_seconds_bucket",
        "trunkline_agents",
        "trunkline_llm_request_seconds_bucket",
        "trunkline_llm_errors_total",
        "trunkline_cache_hits_total",
        "trunkline_work_queue_depth",
        "trunkline_llm_cost_total",
        "node_cpu_seconds_total",
    }
    unseen = OWN.keys() - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert len(unseen) < 20, unseen


def test_provisioning_names_a_prometheus_and_the_folder() -> None:
    """The two files that Grafana reads at its start."""
    folder = GRAFANA / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    [provider] = yaml.safe_load((folder / "dashboards" / "trunkline.yml").read_text(encoding="utf-8"))["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards/trunkline")
