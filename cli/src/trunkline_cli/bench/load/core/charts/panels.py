"""Panels of a picture: lines over an axis, and stacked bars, each with its legend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from trunkline_cli.bench.load.core.charts.axes import Axis, linear_axis, number_text

WIDTH: Final = 960
PANEL_HEIGHT: Final = 330
_LEFT: Final = 70
_RIGHT: Final = 230
"""Width of the legend's column."""
_TOP: Final = 44
_BOTTOM: Final = 56
_PLOT_WIDTH: Final = WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT: Final = PANEL_HEIGHT - _TOP - _BOTTOM
_LINE_HEIGHT: Final = 18
_MAX_NAME: Final = 30
_MAX_MARKED: Final = 40
"""Points of a line are marked up to this number."""
_VISIBLE: Final = 0.4
"""Smallest distance of two places of a line, in units of the picture."""
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#8c564b", "#b8a900")
"""Distinguishable for people who do not see all colours alike (Okabe and Ito), and three more."""
APART: Final = "#c8c8c8"
"""Colour of a part that stands apart, such as the generators."""
_STYLE: Final = (
    "text{font-family:Helvetica,Arial,sans-serif;fill:#222}"
    ".title{font-size:15px;font-weight:bold}.label{font-size:12px}.tick{font-size:11px;fill:#555}"
    ".foot{font-size:11px;fill:#444}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; points in the units of the axes, ascending. `dashed` for a line of second rank."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A named bar with its parts, from the bottom to the top."""

    name: str
    parts: Mapping[str, float]


def picture(panels: Sequence[str], footer: Sequence[str]) -> str:
    """Return an SVG document with panels below each other and lines of text at its end."""
    height = PANEL_HEIGHT * len(panels) + _LINE_HEIGHT * (len(footer) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    parts += [
        f'<g transform="translate(0,{PANEL_HEIGHT * number})">\n{panel}\n</g>' for number, panel in enumerate(panels)
    ]
    first = PANEL_HEIGHT * len(panels) + _LINE_HEIGHT / 2
    parts += [_text(_LEFT, first + _LINE_HEIGHT * number, line, "foot") for number, line in enumerate(footer)]
    return "\n".join([*parts, "</svg>\n"])


def line_panel(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return a panel of lines."""
    parts = [*_frame(title, y), *_x_ticks(x)]
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        places = [(_x(x.place(at)), _y(y.place(value))) for at, value in line.points]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in _thinned(places))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if len(places) <= _MAX_MARKED:
            parts += [
                f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}">{_hint(number_text(value))}</circle>'
                for (left, top), (_, value) in zip(places, line.points, strict=True)
            ]
    return "\n".join([*parts, *_legend([(line.name, COLOURS[at % len(COLOURS)]) for at, line in enumerate(lines)])])


def bar_panel(title: str, label: str, bars: Sequence[Bar], *, apart: str = "", x_label: str = "") -> str:
    """Return a panel of stacked bars; the part `apart` lies on top in grey and is not in the number above the bar."""
    names = sorted({name for bar in bars for name in bar.parts} - {apart}) + ([apart] if apart else [])
    colours = {name: APART if name == apart else COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    y = linear_axis(label, max((sum(bar.parts.values()) for bar in bars), default=0.0) * 1.08)
    parts = list(_frame(title, y))
    slot = _PLOT_WIDTH / max(1, len(bars))
    for number, bar in enumerate(bars):
        left, width = _LEFT + slot * number + slot * 0.2, slot * 0.6
        total = 0.0
        for name in names:
            value = bar.parts.get(name, 0.0)
            top, bottom = _y(y.place(total + value)), _y(y.place(total))
            hint = _hint(f"{name}: {number_text(value)}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.2f}" width="{width:.1f}" height="{bottom - top:.2f}" '
                f'fill="{colours[name]}">{hint}</rect>'
            )
            total += value
        shown = number_text(total - bar.parts.get(apart, 0.0))
        parts.append(_text(left + width / 2, _y(y.place(total)) - 5, shown, "label", anchor="middle"))
        parts.append(_text(left + width / 2, _TOP + _PLOT_HEIGHT + 18, _short(bar.name, slot), "tick", anchor="middle"))
    if x_label:
        parts.append(_text(_LEFT + _PLOT_WIDTH / 2, PANEL_HEIGHT - 16, x_label, "label", anchor="middle"))
    return "\n".join([*parts, *_legend([(name, colours[name]) for name in reversed(names)])])


def _frame(title: str, y: Axis) -> Iterator[str]:
    """Yield title, horizontal grid and the label of the vertical axis."""
    yield _text(_LEFT, 24, title, "title")
    for tick in y.ticks:
        at = _y(tick.at)
        yield f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_LEFT + _PLOT_WIDTH}" y2="{at:.1f}" stroke="#dddddd"/>'
        yield _text(_LEFT - 8, at + 4, tick.label, "tick", anchor="end")
    middle = _TOP + _PLOT_HEIGHT / 2
    yield f'<g transform="translate(16,{middle}) rotate(-90)">{_text(0, 0, y.label, "label", anchor="middle")}</g>'
    yield (
        f'<line x1="{_LEFT}" y1="{_TOP + _PLOT_HEIGHT}" x2="{_LEFT + _PLOT_WIDTH}" y2="{_TOP + _PLOT_HEIGHT}" '
        'stroke="#444444"/>'
    )


def _x_ticks(x: Axis) -> Iterator[str]:
    bottom = _TOP + _PLOT_HEIGHT
    for tick in x.ticks:
        at = _x(tick.at)
        yield f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#eeeeee"/>'
        yield _text(at, bottom + 18, tick.label, "tick", anchor="middle")
    yield _text(_LEFT + _PLOT_WIDTH / 2, PANEL_HEIGHT - 16, x.label, "label", anchor="middle")


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    left = _LEFT + _PLOT_WIDTH + 20
    for number, (name, colour) in enumerate(entries):
        top = _TOP + _LINE_HEIGHT * number
        yield f'<rect x="{left}" y="{top}" width="12" height="12" fill="{colour}"/>'
        shown = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
        yield _text(left + 18, top + 10, shown, "label")


def _text(left: float, top: float, text: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" class="{kind}" text-anchor={quoteattr(anchor)}>{escape(text)}</text>'


def _hint(text: str) -> str:
    """Return a text that a browser shows under the pointer."""
    return f"<title>{escape(text)}</title>"


def _thinned(places: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Leave out places that cannot be told from the one before; the last one stays."""
    shown: tuple[float, float] | None = None
    for at, place in enumerate(places):
        is_near = shown is not None and max(abs(place[0] - shown[0]), abs(place[1] - shown[1])) < _VISIBLE
        if not is_near or at == len(places) - 1:
            shown = place
            yield place


def _short(name: str, width: float) -> str:
    """Cut a name to a width, in characters of some six units."""
    limit = max(4, int(width / 6))
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _x(place: float) -> float:
    return _LEFT + place * _PLOT_WIDTH


def _y(place: float) -> float:
    return _TOP + (1 - place) * _PLOT_HEIGHT
