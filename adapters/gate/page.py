"""A gate's report as one page that needs nothing else: no script, no file, no other host. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

_WIDE, _ROW, _LEFT = 640, 26, 210
_VERDICTS: Final = {"passed": "#1a7f37", "failed": "#b42318", "refused": "#8a5a00"}
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;
color:#1f2328}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #d0d7de;
vertical-align:top}
td.n,th.n{text-align:right}svg{max-width:100%;height:auto}
.verdict{font-size:1.4rem;font-weight:600}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}svg text{fill:#e6edf3}}
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole document."""
    name = f"{report['alias']}@{report['digest'][:12]}"
    verdict = report["verdict"]
    colour = _VERDICTS[verdict]
    at = datetime.fromtimestamp(report["at"], UTC).isoformat(timespec="seconds")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Gate: {escape(name)}</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>Gate of {escape(name)}</h1>",
            f'<p class="verdict" style="color:{colour}">{escape(verdict)}</p>',
            f"<p>{escape(report['reason'])}</p>",
            "<h2>Difference to what answers now</h2>",
            _intervals(report),
            _facts(report, at),
            "<h2>Parts</h2>",
            _table(
                ("part", "items", "candidate", "current", "at most", ""),
                [
                    (
                        each["name"], each["n"], _share(each["candidate"]), _share(each["current"]),
                        f"{each['upper']:+.3f}", "blocks" if each["blocks"] else "",
                    )
                    for each in report["slices"]
                ],
            ),
            "<h2>What must not get worse</h2>",
            _table(
                ("suite", "answers", "candidate", "current", "", ""),
                [
                    (
                        each["name"], each["n"], each["candidate"], each["current"], each["detail"],
                        "blocks" if each["blocks"] else "",
                    )
                    for each in report["suites"]
                ],
            ),
            "<h2>What answers took</h2>",
            _table(
                ("target", "mean s", "p95 s", "USD", "tokens"),
                [
                    (who, *(_number(took.get(key)) for key in _TOOK))
                    for who, took in report["costs"].items()
                ],
            ),
            "</main></body></html>",
        ]
    )  # fmt: skip


_TOOK: Final = ("seconds", "p95_seconds", "usd", "output_tokens")


def _facts(report: Mapping[str, Any], at: str) -> str:
    missing = report["n_missing"]
    rows = [
        ("items", report["n"]),
        ("items missing", "no number would do" if missing is None else missing),
        ("candidate", _share(report["candidate"])),
        ("current", f"{_share(report['current'])} ({report['current_target']})"),
        ("margin", f"{report['margin']:g}"),
        ("chance to pass one worse by the margin", f"{report['alpha']:.2g}"),
        ("power: chance to pass one as good", _share(report["power"])),
        ("test", report["test"]),
        ("grader", report["grader"]),
        ("dataset", report["dataset"] or "none: all that was held out"),
        ("judged at", at),
    ]
    cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def _intervals(report: Mapping[str, Any]) -> str:
    """Bounds of the whole and of each part, beside zero and the margin."""
    rows = [("all", report["lower"], report["upper"], report["difference"])]
    rows += [
        (each["name"], each["lower"], each["upper"], each["candidate"] - each["current"])
        for each in report["slices"]
    ]
    height = _ROW * (len(rows) + 1)
    parts = [
        f'<svg viewBox="0 0 {_WIDE} {height}" width="{_WIDE}" height="{height}" role="img" '
        'aria-label="Bounds of the difference: all items, then each part">'
    ]
    for value, label, dash in ((0.0, "equal", ""), (-report["margin"], "margin", "4 3")):
        at = _across(value)
        parts.append(
            f'<line x1="{at}" x2="{at}" y1="0" y2="{height - _ROW}" stroke="#8c959f" '
            f'stroke-dasharray="{dash}"/><text x="{at}" y="{height - 8}" font-size="11" '
            f'text-anchor="{"start" if dash == "" else "end"}">{label}</text>'
        )
    for place, (name, low, high, middle) in enumerate(rows):
        y = _ROW * place + _ROW // 2
        bad = high < -report["margin"]
        colour = "#b42318" if bad else "#0969da"
        parts.append(
            f'<text x="0" y="{y + 4}" font-size="12">{escape(name[:34])}</text>'
            f'<line x1="{_across(low)}" x2="{_across(high)}" y1="{y}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"/><circle cx="{_across(middle)}" cy="{y}" r="4" fill="{colour}"/>'
        )
    return "".join([*parts, "</svg>"])


def _across(value: float) -> float:
    return round(_LEFT + (max(-1.0, min(1.0, value)) + 1) / 2 * (_WIDE - _LEFT), 1)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
