"""Refusals and doubt are heard in several languages, and answers are not taken for them."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.capture.tone import Tone, tone

_TEXTS = Path(__file__).parent / "tones.tsv"
_DATA = Path(os.environ.get("GRAFTWORK_DATA", "../shared/data"))


def _texts(part: str) -> Iterator[tuple[str, str, str]]:
    """Label, language and text; ``seen`` ones the phrases were written for, ``held`` ones not."""
    for line in _TEXTS.read_text(encoding="utf-8").splitlines():
        of, label, language, text = line.split("\t")
        if of == part:
            yield label, language, text


def _heard(text: str) -> str:
    found = tone(text)
    return "answers" if found is None else found.value


@pytest.mark.parametrize(("label", "language", "text"), list(_texts("seen")))
def test_what_the_phrases_were_written_for_is_heard(label: str, language: str, text: str) -> None:
    """Each text of the first part, in its language."""
    assert _heard(text) == label


def test_texts_that_nobody_tuned_for_are_heard_as_well() -> None:
    """Nine of ten that refuse or hedge, and no answer is taken for either."""
    held = Counter((label, _heard(text)) for label, _, text in _texts("held"))
    trouble = {pair: count for pair, count in held.items() if pair[0] != "answers"}
    found = sum(count for (_, heard), count in trouble.items() if heard != "answers")
    assert found / sum(trouble.values()) > 0.85
    assert {pair for pair in held if pair[0] == "answers"} == {("answers", "answers")}


def test_what_is_quoted_or_code_is_not_the_answers_own_voice() -> None:
    """Nor what stands far behind its beginning."""
    assert tone("She said: \"I'm sorry, but I can't help you.\" Then she left.") is None
    assert tone("```\nprint('I cannot help with that')\n```\nThat prints a line.") is None
    answer = "The train leaves at nine from platform four. " * 12
    assert tone(answer + "I'm sorry, but I can't help with that.") is None
    assert tone("I'm sorry, but I can't help with that. " + answer) is Tone.REFUSES


@pytest.mark.parametrize(
    "text", ["i " * 50_000, '"“' * 50_000, "```" * 50_000, "kann ich " * 9_000, "", "\n" * 9_000]
)
def test_hostile_texts_take_no_time(text: str) -> None:
    """Only a bounded beginning is read, in bounded time."""
    assert tone(text) is None


def test_answers_of_real_models_are_not_taken_for_refusals() -> None:
    """2,638 solutions of grade-school problems."""
    path = _DATA / "routellm_gsm8k_responses.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there: it is not part of the repository")
    before = csv.field_size_limit(10**7)  # of the whole process
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    finally:
        csv.field_size_limit(before)
    said = [row[name] for row in rows for name in row if name.endswith("_response")]
    assert len(said) > 2000
    assert [text for text in said if tone(text)] == []
