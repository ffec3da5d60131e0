"""A teacher's log-probabilities count where its tokens are the student's, and only there."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
from transformers import AutoTokenizer

from adapters.distill.encode import Encoded
from adapters.distill.teacher import with_teacher
from serving.embedded import BASE_DIR

END = 2


@functools.cache
def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE_DIR)


def _row(answer: str, number: int = 0) -> Encoded:
    ids = _tokenizer()(answer, add_special_tokens=False)["input_ids"]
    return Encoded((5, 6, *ids, END), 2, "g", f"{number:064x}")


def _said(row: Encoded, second: str = " kettle") -> dict[str, Any]:
    """In OpenAI's shape, as cut by this very tokenizer."""
    return {
        "content": [
            {
                "token": _tokenizer().decode([token]),
                "logprob": math.log(0.7),
                "top_logprobs": [
                    {"token": _tokenizer().decode([token]), "logprob": math.log(0.7)},
                    {"token": second, "logprob": math.log(0.2)},
                    {"token": "a token that nobody has", "logprob": math.log(0.05)},
                ],
            }
            for token in row.ids[row.start : -1]
        ]
    }


def test_equal_tokens_are_aligned() -> None:
    """Each trained token gets the probabilities of what the student can say; the end mark none."""
    row = _row("You may return the lamp.")
    (found,), note = with_teacher([row], {row.digest: _said(row)}, _tokenizer())
    assert "on 1 rows" in note
    assert found.teacher is not None
    assert len(found.teacher) == row.trained
    first = found.teacher[0]
    kettle = _tokenizer()(" kettle", add_special_tokens=False)["input_ids"]
    assert first[row.ids[row.start]] == pytest.approx(0.7)
    if len(kettle) == 1:
        assert first[kettle[0]] == pytest.approx(0.2)
    assert sum(first.values()) <= 1
    assert found.teacher[-1] == {}


def test_another_tokenizer_is_skipped_and_said_so() -> None:
    """Words cut elsewhere have nothing to compare."""
    rows = [_row("You may return the lamp.", n) for n in range(3)]
    said = {row.digest: {"content": [{"token": c, "logprob": -1.0} for c in "You"]} for row in rows}
    found, note = with_teacher(rows, said, _tokenizer())
    assert all(row.teacher is None for row in found)
    assert "its tokens are not this base's (0 of 3" in note


@pytest.mark.parametrize("said", [None, {}, {"content": "x"}, [1], {"content": [{"token": 3}]}, 7])
def test_whatever_else_is_there_counts_as_nothing(said: Any) -> None:
    """Providers differ, and logs are imported."""
    row = _row("Yes.")
    found, note = with_teacher([row], {row.digest: said}, _tokenizer())
    assert found == [row]
    assert "no row has its log-probabilities" in note


def test_nonsense_among_the_top_does_no_harm() -> None:
    """A positive log-probability or a missing one is left out."""
    row = _row("Yes.")
    said = _said(row)
    said["content"][0]["top_logprobs"] += [
        {"token": " lamp", "logprob": 3.0},
        {"token": " lamp"},
        3,
    ]
    (found,), _ = with_teacher([row], {row.digest: said}, _tokenizer())
    assert found.teacher is not None
    assert sum(found.teacher[0].values()) <= 1
