"""Generator of docs/telemetry.md: every metric, every log event and every span, found in the source code."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from trunkline_chassis.tracing.span_types import ATTRIBUTES, SPANS

PACKAGES: Final = (
    "trunkline_chassis",
    "trunkline_embedding",
    "trunkline_ingress",
    "trunkline_conversation",
    "trunkline_agents",
    "trunkline_rag",
    "trunkline_llm_gateway",
    "trunkline_audit",
    "trunkline_supervisor",
)
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_METRICS: Final = frozenset({"Counter", "Gauge", "Histogram"})

_OPENING: Final = """\
# Telemetry

Every metric, every log event and every span. Generated from the source code by `./just docs`.

Metrics are Prometheus text on `/metrics` of each process. Durations are in seconds, sizes in bytes, costs in US
dollars.

Logs are one JSON object per line with `event`, `level`, `timestamp`, `service`, `instance`, `region` and the fields
below; resources of spans have `trunkline.region`. No field contains the text of a customer. `*` in the name of an event
stands for a computed part.
"""


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """A metric as the code declares it, with the package that declares it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    package: str


@dataclass(frozen=True, slots=True, order=True)
class LogEvent:
    """A log call, with the function that makes it; `*` in the name stands for a computed part."""

    name: str
    level: str
    fields: tuple[str, ...]
    package: str
    operation: str
    """First sentence of the function's docstring; its name if it has none."""


def telemetry() -> str:
    """Return the whole file."""
    return "\n".join(_lines()) + "\n"


def metrics() -> list[Metric]:
    """Return all metrics, by name."""
    return sorted({metric for module in _modules() for metric in _metrics_in(module)})


def log_events() -> list[LogEvent]:
    """Return all log events, by name."""
    return sorted({event for module in _modules() for event in _events_in(module)})


def _lines() -> Iterator[str]:
    yield _OPENING.rstrip()
    yield "\n## Metrics\n"
    yield "| metric | kind | labels | meaning | package |"
    yield "|---|---|---|---|---|"
    for metric in metrics():
        yield _row(f"`{metric.name}`", metric.kind, _names(metric.labels), metric.help, metric.package)
    yield "\n## Log events\n"
    yield "| event | level | fields | operation | package |"
    yield "|---|---|---|---|---|"
    for event in log_events():
        yield _row(f"`{event.name}`", event.level, _names(event.fields), event.operation, event.package)

    yield "\n## Spans\n"
    yield "In the order of a turn; an attribute that never changes has its value. Any span may have `error.type`.\n"
    yield "| span | kind | attributes | meaning |"
    yield "|---|---|---|---|"
    for span in SPANS:
        name = span.name if span.named_after is None else f"{span.name} {{{span.named_after.name}}}"
        fixed = tuple(f"{key}={value}" for key, value in span.fixed.items())
        names = tuple(attribute.name for attribute in span.attributes)
        yield _row(f"`{name}`", span.kind, _names((*fixed, *names)), span.meaning)
    yield "\n| attribute | meaning |"
    yield "|---|---|"
    for attribute in ATTRIBUTES:
        yield _row(f"`{attribute.name}`", attribute.meaning)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class _Module(NamedTuple):
    package: str
    tree: ast.Module


def _modules() -> Iterator[_Module]:
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found is not None else []:
            for file in sorted(Path(folder).rglob("*.py")):
                yield _Module(package.removeprefix("trunkline_"), ast.parse(file.read_text(encoding="utf-8-sig")))


# -- metrics ---


def _metrics_in(module: _Module) -> Iterator[Metric]:
    """Yield the calls such as `Counter("trunkline_...", "help", ["label"])`."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=name), ast.Constant(value=text), *rest]):
                if kind in _METRICS and str(name).startswith("trunkline_"):
                    labels = tuple(_strings(rest[0])) if rest else ()
                    yield Metric(_exposed_name(kind, str(name)), kind.lower(), labels, str(text), module.package)
            case _:
                pass


def _exposed_name(kind: str, name: str) -> str:
    """Return the name in `/metrics`, where every counter ends in `_total`."""
    return f"{name.removesuffix('_total')}_total" if kind == "Counter" else name


def _strings(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            yield from (str(item.value) for item in items if isinstance(item, ast.Constant))
        case _:
            pass


# -- log events ---


def _events_in(module: _Module) -> Iterator[LogEvent]:
    """Yield the calls such as `_log.warning("event.name", field=...)`."""
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in _own_nodes(function):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"), attr=level), args=[name, *_]):
                        if level in _LEVELS:
                            yield LogEvent(
                                name=_event_name(name),
                                level="error, with traceback" if level == "exception" else level,
                                fields=tuple(keyword.arg for keyword in node.keywords if keyword.arg is not None),
                                package=module.package,
                                operation=_operation(function),
                            )
                    case _:
                        pass


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without nested functions, which are visited on their own."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own_nodes(child)


def _operation(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    docstring = " ".join((ast.get_docstring(function) or "").split())
    sentence = re.split(r"\.(?:\s+(?=[A-Z`])|$)", docstring, maxsplit=1)[0]
    return sentence or f"`{function.name}`"


def _event_name(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=name):
            return str(name)
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
        case _:
            return "*"
