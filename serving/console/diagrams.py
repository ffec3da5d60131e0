"""Pictures that are no charts: where versions stand, and what a version was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

_WIDTH: Final = 480.0
_BOX: Final = (148.0, 44.0)
_GAP: Final = (18.0, 30.0)
_LETTERS: Final = 18
_STEP: Final = 30.0


@dataclass(frozen=True, slots=True)
class Node:
    """A box: what kind of thing it is, which one, and from which boxes arrows lead to it."""

    key: str
    kind: str
    name: str
    parents: tuple[str, ...] = ()


def graph(title: str, rows: Sequence[Sequence[Node]]) -> Markup:
    """Boxes in rows from top to bottom, arrows from each to those made of it."""
    rows = [row for row in rows if row]
    places: dict[str, tuple[float, float]] = {}
    for line, row in enumerate(rows):
        wide = len(row) * _BOX[0] + (len(row) - 1) * _GAP[0]
        for number, node in enumerate(row):
            left = (_WIDTH - wide) / 2 + number * (_BOX[0] + _GAP[0])
            places[node.key] = (left, line * (_BOX[1] + _GAP[1]) + 2)
    nodes = [node for row in rows for node in row]
    drawn = Markup("").join(
        _arrow(places[parent], places[node.key])
        for node in nodes
        for parent in node.parents
        if parent in places
    )
    drawn += Markup("").join(_box(node, places[node.key]) for node in nodes)
    said = "; ".join(f"{node.kind} {node.name}" for node in nodes)
    height = len(rows) * (_BOX[1] + _GAP[1]) - _GAP[1] + 4
    return _picture(title, said or "nothing yet", height, drawn)


def ladder(title: str, steps: Mapping[str, Sequence[str]]) -> Markup:
    """The steps side by side, each with the versions that stand on it."""
    wide = _WIDTH / max(len(steps), 1)
    most = max((len(names) for names in steps.values()), default=0)
    height = 30 + max(most, 1) * _STEP
    drawn = Markup("")
    for number, (step, names) in enumerate(steps.items()):
        left = number * wide
        drawn += Markup(
            '<rect x="{:.1f}" y="1" width="{:.1f}" height="{:.1f}" class="step"/>'
        ).format(left + 2, wide - 4, height - 2)
        drawn += Markup('<text x="{:.1f}" y="20" class="kind middle">{}</text>').format(
            left + wide / 2, step
        )
        for line, name in enumerate(names):
            drawn += Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="24" rx="4" class="c{}"/>'
                '<text x="{:.1f}" y="{:.1f}" class="in">{}</text>'
            ).format(
                left + 8,
                28 + line * _STEP,
                wide - 16,
                3 if step == "live" else 1,
                left + wide / 2,
                45 + line * _STEP,
                _cut(name, 14),
            )
    said = "; ".join(f"{step}: {', '.join(names) or 'none'}" for step, names in steps.items())
    return _picture(title, said, height, drawn)


def _box(node: Node, at: tuple[float, float]) -> Markup:
    return Markup(
        '<g><title>{}: {}</title><rect x="{:.1f}" y="{:.1f}" width="{:.0f}" height="{:.0f}" rx="5" '
        'class="box"/><text x="{:.1f}" y="{:.1f}" class="kind middle">{}</text>'
        '<text x="{:.1f}" y="{:.1f}" class="middle">{}</text></g>'
    ).format(
        node.kind,
        node.name,
        *at,
        *_BOX,
        at[0] + _BOX[0] / 2,
        at[1] + 17,
        node.kind,
        at[0] + _BOX[0] / 2,
        at[1] + 34,
        _cut(node.name, _LETTERS),
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    x1, y1 = start[0] + _BOX[0] / 2, start[1] + _BOX[1]
    x2, y2 = end[0] + _BOX[0] / 2, end[1]
    if y2 < y1:  # beside each other: from side to side
        x1, y1 = start[0] + _BOX[0], start[1] + _BOX[1] / 2
        x2, y2 = end[0], end[1] + _BOX[1] / 2
    head = f"{x2:.1f},{y2:.1f} {x2 - 4:.1f},{y2 - 7:.1f} {x2 + 4:.1f},{y2 - 7:.1f}"
    return Markup(
        '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="arrow"/>'
        '<polygon points="{}" class="arrow"/>'
    ).format(x1, y1, x2, y2, head)


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _picture(title: str, said: str, height: float, inner: Markup) -> Markup:
    return Markup(
        '<svg role="img" class="diagram" viewBox="0 0 {:.0f} {:.0f}"><title>{}</title>'
        "<desc>{}</desc>{}</svg>"
    ).format(_WIDTH, height, title, said, inner)
