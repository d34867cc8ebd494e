"""Panels and dashboards as data, and their JSON model for Grafana."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION: Final = 39
"""Of Grafana 11; later versions convert it while they load it."""
WIDTH: Final = 24
HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and the legend of its series: `{{label}}` stands for a label."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """A panel of a row; `unit` is one of Grafana's, `thresholds` are values from which it turns orange and red."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    description: str = ""
    thresholds: tuple[float, float] | None = None
    stacked: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label."""

    name: str
    label: str
    query: str


JOB: Final = Variable("job", "Suite", 'label_values(up{job=~"trunkline.*"}, job)')
HOST: Final = Variable("host", "Host", "label_values(node_uname_info, instance)")


@dataclass(frozen=True)
class Dashboard:
    """A dashboard; `uid` is its address and the name of its file."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[Variable] = (JOB,)


def stat(title: str, expression: str, unit: str = "short", **options: Any) -> Panel:  # noqa: ANN401 - fields of Panel
    """Return a panel that shows one figure."""
    return Panel(title, [Query(expression)], unit, kind="stat", **options)


def quantiles(metric: str, by: str = "") -> list[Query]:
    """Return the quantiles of a histogram in seconds, for each value of a label if one is given."""
    labels, name = (f"le, {by}", f"{legend(by)} ") if by else ("le", "")
    rate = f'sum by ({labels}) (rate({metric}_bucket{{job=~"$job"}}[$__rate_interval]))'
    return [Query(f"histogram_quantile({q}, {rate})", f"{name}p{q * 100:g}") for q in QUANTILES]


def per_second(metric: str, by: str) -> list[Query]:
    """Return the rate of a counter per value of some labels."""
    return [Query(f'sum by ({by}) (rate({metric}{{job=~"$job"}}[$__rate_interval]))', legend(by))]


def highest(metric: str, by: str) -> list[Query]:
    """Return the highest value of a gauge that several processes measure, per value of some labels."""
    return [Query(f'max by ({by}) ({metric}{{job=~"$job"}})', legend(by))]


def total(metric: str, by: str) -> list[Query]:
    """Return the sum of a gauge over processes, per value of some labels."""
    return [Query(f'sum by ({by}) ({metric}{{job=~"$job"}})', legend(by))]


def legend(by: str) -> str:
    """Return the legend that shows the values of some labels."""
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))


def share(counter: str, of_the_others: str, by: str) -> Query:
    """Return the share of a counter in the sum of two, per value of a label."""
    one, other = (
        f'sum by ({by}) (rate({metric}{{job=~"$job"}}[$__rate_interval]))' for metric in (counter, of_the_others)
    )
    return Query(f"{one} / ({one} + ({other} or 0 * {one}))", legend(by))


def render(dashboard: Dashboard) -> dict[str, Any]:
    """Return the JSON model of a dashboard."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["trunkline"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "annotations": {"list": []},
        "links": [
            {
                "title": "Trunkline",
                "type": "dashboards",
                "tags": ["trunkline"],
                "asDropdown": True,
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[dict[str, Any]]:
    """Yield rows and panels from top to bottom, at most three panels side by side, figures all in one line."""
    number, top = 0, 0
    for title, panels in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
            "panels": [],
        }
        top += 1
        height = STAT_HEIGHT if panels[0].kind == "stat" else HEIGHT
        columns = len(panels) if panels[0].kind == "stat" or len(panels) == 1 else 2 if len(panels) in {2, 4} else 3
        width = WIDTH // columns
        for position, panel in enumerate(panels):
            number += 1
            line, column = divmod(position, columns)
            grid = {"h": height, "w": width, "x": column * width, "y": top + line * height}
            yield _panel(number, grid, panel)
        top += height * -(-len(panels) // columns)


def _panel(number: int, grid: dict[str, int], panel: Panel) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": grid,
        "targets": [_target(index, query, panel.kind) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
    }


def _target(index: int, query: Query, kind: str) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "range": kind == "timeseries",
        "instant": kind != "timeseries",
        "format": "table" if kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.thresholds is not None:
        steps += [
            {"color": color, "value": value} for color, value in zip(("orange", "red"), panel.thresholds, strict=True)
        ]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.thresholds is None else "dashed"},
        }
    return defaults


def _options(kind: str) -> dict[str, Any]:
    match kind:
        case "stat":
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case _:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
