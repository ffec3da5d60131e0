"""What docs/policy.md shows is what the code does; so is the example in config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from router.policy.conditions import SAMPLE
from router.policy.document import PolicyInvalid
from router.policy.load import evaluate, load, situation_of
from router.policy.obligations import KINDS
from router.policy.rules import _EFFECTS

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "policy.md").read_text()
BLOCK = re.compile(r"```(yaml|json)( error)?\n(.*?)```", re.DOTALL)
BLOCKS = [(match[1], bool(match[2]), match[3]) for match in BLOCK.finditer(PAGE)]


def test_there_are_examples() -> None:
    """The page was found, and read."""
    assert {kind for kind, _, _ in BLOCKS} == {"yaml", "json"}


@pytest.mark.parametrize(("kind", "fails", "text"), BLOCKS)
def test_every_example_does_what_the_page_says(kind: str, fails: bool, text: str) -> None:
    """Rules load with their examples; bad ones fail on the line that is marked."""
    if kind == "json":
        question = json.loads(text)
        rules = load(next(each for each_kind, _, each in BLOCKS if each_kind == "yaml").encode())
        assert evaluate(rules, situation_of(question), question["answer"]).violations
    elif fails:
        with pytest.raises(PolicyInvalid) as refused:
            load(text.encode())
        problem = refused.value.problems[0]
        marked = next(n for n, line in enumerate(text.splitlines(), 1) if "# line" in line)
        told = re.search(r"# line \d+: (.*)", text)
        assert problem.line == marked
        assert told is not None
        assert told[1] in problem.message
    else:
        assert load(text.encode()).warnings == ()


def test_the_example_file_loads_with_all_its_examples() -> None:
    """And each of its rules has one."""
    rules = load((ROOT / "config" / "policy-example.yaml").read_bytes())
    assert rules.warnings == ()
    assert all(rule.examples for rule in rules.file.rules)


@pytest.mark.parametrize("name", [*KINDS, *_EFFECTS, *SAMPLE])
def test_the_page_names_every_kind_effect_and_variable(name: str) -> None:
    """What can be written is documented."""
    assert f"`{name}" in PAGE
