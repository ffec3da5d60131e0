"""The benchmark of retrieval, on a handful of paragraphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.governance.retrieval import BUDGETS, main, shortfall


def test_every_way_is_measured_and_the_claim_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six rows; two questions, whose documents are found."""
    facts = {"kettle": "27 months", "pump": "14 metres"}
    paragraphs = [
        {
            "context": f"The {thing} is sold here. Its number is {fact}, says the {thing} maker.",
            "qas": [{"question": f"What number has the {thing}?", "answers": [{"text": fact}]}],
        }
        for thing, fact in facts.items()
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    rows = main(path)
    assert len(rows) == 6
    assert all(len(row.fifth) == 2 and all(row.fifth) for row in rows)
    assert all(row.answered[max(BUDGETS)] == [True, True] for row in rows)
    assert shortfall(rows) is None
    assert capsys.readouterr().out.count("\n|") == 8
