"""docs/telemetry.md: every metric and every log event of the code, found here by other means than in the generator."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from prometheus_client import REGISTRY
from trunkline_cli.reference.telemetry import PACKAGES, log_events, metrics, telemetry

ROOT = Path(__file__).parents[2]
PAGE = telemetry()
SOURCES = {
    ".".join(file.relative_to(source).with_suffix("").parts): file.read_text(encoding="utf-8")
    for source in ROOT.glob("*/*/src")
    if (source.parent.parent.name in {"libs", "services"})
    for file in sorted(source.rglob("*.py"))
}
LOG_CALL = re.compile(r"""(?<!\.)_log\.(debug|info|warning|error|exception|critical)\(\s*(?:(f?)"([^"]*)")?""")
PUBLIC_METRICS = (
    "trunkline_turn_seconds",
    "trunkline_turn_overhead_seconds",
    "trunkline_first_token_seconds",
    "trunkline_turns_total",
    "trunkline_conversations_open",
    "trunkline_agents",
    "trunkline_work_queue_depth",
    "trunkline_llm_request_seconds",
    "trunkline_llm_errors_total",
    "trunkline_llm_breaker_state",
    "trunkline_llm_tokens_total",
    "trunkline_llm_cost_total",
    "trunkline_cache_hits_total",
    "trunkline_cache_misses_total",
    "trunkline_redeliveries_total",
    "trunkline_dead_letters_total",
    "trunkline_audit_lag_seconds",
    "trunkline_process_restarts_total",
)
"""Metrics that dashboards may rely on: their names do not change."""


def exposed_metrics() -> set[str]:
    """Return the names in `/metrics` once all modules that declare metrics are imported."""
    for module, text in SOURCES.items():
        if "prometheus_client" in text:
            importlib.import_module(module)
    families = [family for family in REGISTRY.collect() if family.name.startswith("trunkline_")]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def test_every_metric_is_documented() -> None:
    """The generator reads the source; the names are compared with those that the client library exposes."""
    exposed = exposed_metrics()
    assert {metric.name for metric in metrics()} == exposed
    for name in exposed:
        assert f"\n| `{name}` |" in PAGE
    assert all(metric.help for metric in metrics())


def test_public_metrics_keep_their_names() -> None:
    """Each of them is exposed and documented."""
    assert set(PUBLIC_METRICS) <= exposed_metrics()


def logged_events() -> set[tuple[str, str]]:
    """Return name and level of each log call; a computed part of a name is a `*`."""
    calls = [match.groups() for text in SOURCES.values() for match in LOG_CALL.finditer(text)]
    return {
        ("*" if name is None else re.sub(r"{[^}]*}", "*", name) if is_formatted else name, level)
        for level, is_formatted, name in calls
    }


def test_every_log_event_is_documented() -> None:
    """Name and level, as the source has them."""
    found = logged_events()
    levels = {"error, with traceback": "exception"}
    assert {(event.name, levels.get(event.level, event.level)) for event in log_events()} == found
    for name, _ in found:
        assert f"\n| `{name}` |" in PAGE


def test_event_names_are_dotted() -> None:
    """A noun and its state, so that events of one thing are neighbours; an event is never named by a variable alone."""
    for name, _ in logged_events():
        assert re.fullmatch(r"(?:[a-z_]+|\*)(?:\.[a-z_]+)+", name), name


def test_all_loggers_and_packages_are_read() -> None:
    """Every logger has the name that the generator searches for, in a package that it reads."""
    for module, text in SOURCES.items():
        loggers = re.findall(r"(\w+)(?:: Final)? = structlog\.get_logger", text)
        assert loggers == ["_log"] * text.count("structlog.get_logger("), module
        if loggers or "prometheus_client" in text:
            assert module.split(".")[0] in PACKAGES
