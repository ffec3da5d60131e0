"""Whether what is tested on was seen in training: looked for in the result, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.dataset.frozen import Row, input_digest
from adapters.dataset.groups import Said, asked, grouped, masked, near_pairs, text_of


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that splits must not share."""

    name: str
    passed: bool
    detail: str

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def check(rows: Sequence[Row], held: Sequence[Row]) -> list[Check]:
    """Every check of a split dataset. ``held``: what was held out before, of any intent."""
    return [
        _apart("exchange", rows, lambda row: row.exchange_id),
        _apart("question", rows, lambda row: input_digest(row.messages)),
        _apart("conversation", rows, lambda row: row.conversation or None),
        _apart("template", rows, _template),
        _near(rows),
        _held_out(rows, held),
    ]


def _apart(name: str, rows: Sequence[Row], key: Callable[[Row], Hashable | None]) -> Check:
    trained = {key(row) for row in rows if row.split == "train"}
    tested = {key(row) for row in rows if row.split == "test"}
    shared = (trained & tested) - {None}
    return _result(name, len(shared))


def _template(row: Row) -> str | None:
    users = (text_of(each) for each in row.messages if each.get("role") == "user")
    return masked(next(users, "")) or None


def _near(rows: Sequence[Row]) -> Check:
    splits: dict[Said, set[str]] = {}
    for row in rows:
        if said := asked(row):
            splits.setdefault(said, set()).add(row.split)
    texts = list(splits)
    shared = sum(len(each) > 1 for each in splits.values())
    shared += sum(splits[texts[one]] != splits[texts[two]] for one, two in near_pairs(texts))
    return _result("near_duplicate", shared)


def _held_out(rows: Sequence[Row], held: Sequence[Row]) -> Check:
    trained = [row for row in rows if row.split == "train"]
    numbers = grouped([*trained, *held])
    before = set(numbers[len(trained) :])
    return _result("held_out", sum(number in before for number in numbers[: len(trained)]))


def _result(name: str, shared: int) -> Check:
    detail = f"{shared} in both train and test" if shared else "nothing in both train and test"
    if name == "held_out":
        detail = f"{shared} rows held out before are trained on" if shared else "none is trained on"
    return Check(name, not shared, detail)


def failed(checks: Iterable[Check]) -> list[Check]:
    """Those that did not pass."""
    return [each for each in checks if not each.passed]
