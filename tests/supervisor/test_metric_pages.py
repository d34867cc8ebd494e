"""The metrics page of a node: merged from the pages of its processes."""

from __future__ import annotations

from prometheus_client import Metric
from trunkline_supervisor.adapters.metric_pages import MetricPage, merge_pages

PAGE = """\
# HELP work_total Work done
# TYPE work_total counter
work_total{kind="a"} 3.0
# HELP work_created Work done
# TYPE work_created gauge
work_created{kind="a"} 1.7e9
# HELP restarts_total Restarts
# TYPE restarts_total counter
restarts_total{service="rag"} 1.0
# HELP wait_seconds Waits
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 1.0
wait_seconds_bucket{le="+Inf"} 2.0
wait_seconds_count 2.0
wait_seconds_sum 5.0
"""


def samples(families: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the values by name and sorted labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_samples_of_two_processes_are_told_apart_in_one_family() -> None:
    """A family is declared once, and a label that a sample has already stays."""
    families = merge_pages([MetricPage("audit", "audit-1", PAGE), MetricPage("audit", "audit-2", PAGE)])
    assert [family.name for family in families] == ["trunkline_process_up", "work", "restarts", "wait_seconds"]
    found = samples(families)
    for process in ("audit-1", "audit-2"):
        labels = ("process", process), ("service", "audit")
        assert found["work_total", (("kind", "a"), *labels)] == 3.0
        assert found["wait_seconds_bucket", (("le", "+Inf"), *labels)] == 2.0
        assert found["restarts_total", (("process", process), ("service", "rag"))] == 1.0
        assert found["trunkline_process_up", labels] == 1.0
    assert not any(name.endswith("_created") for name, _ in found)


def test_page_that_was_not_answered_or_is_no_metrics_marks_its_process_as_down() -> None:
    """The others are there all the same."""
    pages = [
        MetricPage("rag", "rag-1", None),
        MetricPage("rag", "rag-2", "work_total{"),
        MetricPage("rag", "rag-3", PAGE),
    ]
    found = samples(merge_pages(pages))
    up = {dict(labels)["process"]: value for (name, labels), value in found.items() if name == "trunkline_process_up"}
    assert up == {"rag-1": 0.0, "rag-2": 0.0, "rag-3": 1.0}
    assert found["work_total", (("kind", "a"), ("process", "rag-3"), ("service", "rag"))] == 3.0
