"""Pictures in SVG, drawn on the server. Each says in words what it shows; colours have a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

_WIDTH: Final = 480.0
_BAR: Final = 36.0
_HEIGHT: Final = 180.0
_LEGIBLE: Final = 48.0
"""A part that is narrower has no room for its number; the table has it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole.

    Attributes:
        name: what it is.
        value: how much.
        colour: the number of its colour in the stylesheet.
    """

    name: str
    value: float
    colour: int


@dataclass(frozen=True, slots=True)
class Column:
    """One moment of a chart over time: what it is called, and its parts from below."""

    name: str
    parts: Sequence[Part]

    @property
    def total(self) -> float:
        """All parts."""
        return sum(part.value for part in self.parts)


def split(title: str, parts: Sequence[Part]) -> Markup:
    """One bar, cut where the parts end."""
    total = sum(part.value for part in parts)
    drawn = Markup("")
    at = 0.0
    for part in parts:
        wide = _WIDTH * part.value / total if total else 0.0
        drawn += _cut(part, at, wide, total)
        at += wide
    if not total:
        drawn = Markup('<text x="10" y="23" class="none">Nothing yet</text>')
    said = ", ".join(f"{part.name} {_percent(part.value, total)}" for part in parts)
    return _picture(title, said, _BAR, drawn)


def _cut(part: Part, at: float, wide: float, total: float) -> Markup:
    label = f"{part.name}: {_percent(part.value, total)}"
    drawn = Markup(
        '<rect x="{:.2f}" y="0" width="{:.2f}" height="{:.0f}" class="c{}"><title>{}</title></rect>'
    ).format(at, wide, _BAR, part.colour, label)
    if wide < _LEGIBLE:
        return drawn
    return drawn + Markup('<text x="{:.2f}" y="23" class="in">{}</text>').format(
        at + wide / 2, _percent(part.value, total)
    )


def columns(title: str, found: Sequence[Column], unit: Callable[[float], str]) -> Markup:
    """Columns over time; ``unit`` writes what is largest, and each column's total."""
    most = max((column.total for column in found), default=0.0)
    step = _WIDTH / max(len(found), 1)
    drawn = Markup("")
    for place, column in enumerate(found):
        drawn += _column(column, place * step, step, most, unit)
    if most:
        drawn += Markup('<text x="2" y="12" class="axis">{}</text>').format(unit(most))
    else:
        drawn = Markup('<text x="10" y="96" class="none">Nothing yet</text>')
    axis = Markup('<line x1="0" y1="{0:.0f}" x2="{1:.0f}" y2="{0:.0f}" class="axis"/>').format(
        _HEIGHT, _WIDTH
    )
    for place in (0, len(found) // 2, len(found) - 1) if found else ():
        anchor = ("start", "middle", "end")[(place > 0) + (place == len(found) - 1)]
        axis += Markup('<text x="{:.1f}" y="{:.0f}" class="axis {}">{}</text>').format(
            (place + (0, 0.5, 1)[(place > 0) + (place == len(found) - 1)]) * step,
            _HEIGHT + 16,
            anchor,
            found[place].name,
        )
    said = f"largest {unit(most)}" if most else "nothing yet"
    return _picture(title, said, _HEIGHT + 22, drawn + axis)


def _column(
    column: Column, at: float, step: float, most: float, unit: Callable[[float], str]
) -> Markup:
    drawn = Markup("<g><title>{}: {}</title>").format(column.name, unit(column.total))
    top = _HEIGHT
    for part in column.parts:
        tall = (_HEIGHT - 20) * part.value / most if most else 0.0
        top -= tall
        drawn += Markup(
            '<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" class="c{}"/>'
        ).format(at + step * 0.1, top, step * 0.8, tall, part.colour)
    return drawn + Markup("</g>")


def _picture(title: str, said: str, height: float, inner: Markup) -> Markup:
    return Markup(
        '<svg role="img" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="xMidYMid meet">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(_WIDTH, height, title, said, inner)


def _percent(value: float, total: float) -> str:
    return f"{100 * value / total:.1f} %" if total else "0 %"


def meter(name: str, value: float, most: float, colour: int = 1) -> Markup:
    """A small bar beside a number, as long as its share of the largest."""
    wide = 100.0 * min(max(value / most, 0.0), 1.0) if most > 0 else 0.0
    return Markup(
        '<svg role="img" class="meter" viewBox="0 0 100 10" preserveAspectRatio="none">'
        '<title>{}</title><desc>{}</desc><rect x="0" y="0" width="100" height="10" class="empty"/>'
        '<rect x="0" y="0" width="{:.1f}" height="10" class="c{}"/></svg>'
    ).format(name, _percent(value, most), wide, colour)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name, its colour, and its points from left to right."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]


def lines(title: str, found: Sequence[Line], across: str, unit: str = "{:.3g}") -> Markup:
    """Lines over a common scale; ``across`` says what goes from left to right."""
    points = [point for line in found for point in line.points]
    if not points:
        empty = Markup('<text x="10" y="96" class="none">Nothing yet</text>')
        return _picture(title, "nothing yet", _HEIGHT + 22, empty)
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low = min(low, 0.0) if low < high / 2 else low
    drawn = Markup("").join(
        _line(line, (left, right), (low, high)) for line in found if line.points
    )
    for y, value in ((12.0, high), (_HEIGHT - 4, low)):
        drawn += Markup('<text x="2" y="{:.0f}" class="axis">{}</text>').format(
            y, unit.format(value)
        )
    drawn += Markup('<line x1="0" y1="{0:.0f}" x2="{1:.0f}" y2="{0:.0f}" class="axis"/>').format(
        _HEIGHT, _WIDTH
    )
    for x, anchor, value in ((0.0, "start", left), (_WIDTH, "end", right)):
        drawn += Markup('<text x="{:.0f}" y="{:.0f}" class="axis {}">{} {:g}</text>').format(
            x, _HEIGHT + 16, anchor, across, value
        )
    said = ", ".join(
        f"{line.name} from {unit.format(line.points[0][1])} to {unit.format(line.points[-1][1])}"
        for line in found
        if line.points
    )
    return _picture(title, said, _HEIGHT + 22, drawn)


def _line(line: Line, across: tuple[float, float], up: tuple[float, float]) -> Markup:
    wide, tall = across[1] - across[0] or 1.0, up[1] - up[0] or 1.0
    found = " ".join(
        f"{_WIDTH * (x - across[0]) / wide:.1f},{20 + (_HEIGHT - 24) * (up[1] - y) / tall:.1f}"
        for x, y in line.points
    )
    return Markup('<polyline points="{}" class="l{}"/>').format(found, line.colour)
