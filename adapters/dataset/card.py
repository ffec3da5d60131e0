"""What a person has to know of a dataset: figures, checks, warnings; as JSON and as Markdown."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapters.dataset.files import name_of
from adapters.dataset.frozen import SPLITS, Row
from adapters.dataset.groups import grouped, text_of
from adapters.dataset.leaks import Check

_FEW_TRAIN: Final = 16
_FEW_TEST: Final = 30
"""With fewer pairs a gate can hardly tell a margin of some points."""


def about(
    rows: Sequence[Row], checks: Iterable[Check], origin: str, selection: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the card says."""
    return {
        "origin": origin,
        "selection": dict(selection),
        "statistics": _statistics(rows),
        "checks": [check.shown() for check in checks],
        "warnings": [*_warnings(rows), *without(selection.get("left_out") or {})],
    }


def _statistics(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "groups": len(set(grouped(rows))),
        "conversations": len({row.conversation for row in rows} - {""}),
        "replay": sum(row.replay for row in rows),
        "with_tools": sum(bool(row.tools) for row in rows),
        "with_logprobs": sum(row.logprobs is not None for row in rows),
        "by_intent": _by_split(rows, "intent"),
        "by_tenant": _by_split(rows, "tenant"),
        "provenance": dict(sorted(Counter(row.provenance for row in rows).items())),
        "reviewers": dict(sorted(Counter(r for row in rows for r in row.reviewers).items())),
        "teachers": dict(sorted(Counter(row.teacher for row in rows if row.teacher).items())),
        "prompt_chars": _lengths([sum(len(text_of(m)) for m in row.messages) for row in rows]),
        "answer_chars": _lengths([len(row.answer) for row in rows]),
        "distinct_answers": len({row.answer for row in rows}),
        "from": min((row.at for row in rows), default=None),
        "to": max((row.at for row in rows), default=None),
    }


def _by_split(rows: Sequence[Row], field: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = found.setdefault(getattr(row, field), dict.fromkeys(SPLITS, 0))
        counts[row.split] += 1
    return dict(sorted(found.items()))


def _lengths(lengths: list[int]) -> dict[str, float]:
    if not lengths:
        return {}
    return {
        "min": min(lengths),
        "median": statistics.median(lengths),
        "mean": round(statistics.fmean(lengths), 1),
        "max": max(lengths),
    }


def _warnings(rows: Sequence[Row]) -> list[str]:
    splits = Counter(row.split for row in rows)
    found = []
    if not splits["train"]:
        found.append("Nothing to train on: every row is held out.")
    elif splits["train"] < _FEW_TRAIN:
        found.append(f"Only {splits['train']} rows to train on.")
    if not splits["test"]:
        found.append(
            "Nothing to test on, so no gate can judge what learns from it: all rows are of one "
            "conversation, one template or near-duplicates of each other, or no holdout was asked."
        )
    elif splits["test"] < _FEW_TEST:
        found.append(f"Only {splits['test']} rows to test on: a gate may refuse to judge.")
    return found


def without(left_out: Mapping[str, int]) -> list[str]:
    """What is said of reviewed answers that could not be taken, by reason."""
    return [
        f"{count} reviewed answers are left out: of the tools that their requests offered, some "
        f"are not kept ({why})."
        for why, count in sorted(left_out.items())
    ]


def markdown(digest: str, name: str, card: Mapping[str, Any], splits: Mapping[str, int]) -> str:
    """A dataset card as Hugging Face reads it."""
    figures = card["statistics"]
    lines = [*_front(splits), f"# {_plain(name)}", "", f"Digest `{digest}`.", ""]
    lines += [f"- **Warning:** {warning}" for warning in card["warnings"]]
    lines += ["", "| | train | test |", "| --- | --- | --- |"]
    for title, by in (("intent", "by_intent"), ("tenant", "by_tenant")):
        for key, counts in figures[by].items():
            lines.append(f"| {title} {_plain(key)} | {counts['train']} | {counts['test']} |")
    lines += ["", "Splits are made of whole groups: rows of one conversation, of one template"]
    lines += ["(first questions that are equal but for numbers and placeholders) or nearly the"]
    lines += ["same stay together.", "", "| check | passed | |", "| --- | --- | --- |"]
    lines += [
        f"| {check['name']} | {'yes' if check['passed'] else 'no'} | {check['detail']} |"
        for check in card["checks"]
    ]
    lines += ["", "| who answered | rows |", "| --- | --- |"]
    lines += [f"| {_plain(key)} | {count} |" for key, count in figures["provenance"].items()]
    lines += ["", "Personal data was masked before any of it was kept. Each row says who reviewed"]
    lines += ["it (`reviewers`), whose answer was judged (`teacher`) and whether a person wrote"]
    lines += ["the answer (`human`), a model (`teacher`), or several persons agreed (`verified`)."]
    return "\n".join(lines) + "\n"


def _front(splits: Mapping[str, int]) -> list[str]:
    files = [
        line
        for split in SPLITS
        if splits.get(split)
        for line in (f"  - split: {split}", f"    path: {name_of(split)}")
    ]
    head = ["---", "configs:", "- config_name: default", "  data_files:"]
    return [*head, *files, "tags:", "- graftwork", "---", ""]


def _plain(text: str) -> str:
    """A name that others gave, harmless in a table."""
    words = " ".join(text.split())
    for mark in "\\`*_[]<>|#":
        words = words.replace(mark, "\\" + mark)
    return words
