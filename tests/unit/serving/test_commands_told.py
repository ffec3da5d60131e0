"""Commands that pages, messages and documents tell people to type exist, and take what is typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from serving.cli.main import app

ROOT = Path(__file__).parents[3]
_PLACES = {
    "README.md": "README.md",
    "docs": "docs/**/*.md",
    "k8s": "k8s/**/*.md",
    "config": "config/*.yaml",
    "console": "serving/console/templates/*.html",
    "serving": "serving/**/*.py",
    "router": "router/**/*.py",
    "adapters": "adapters/**/*.py",
}
# Up to where a command ends: a quote, a tag, a pipe, a comment, the end of a line in a string.
_TOLD = re.compile(r"(?<![\w/-])graftwork[ ]([a-z][^`'\"<>|;#&(){}\n\\]*)")
_FILLED = re.compile(r"\{\{[^\"{}]*\}\}")
_GROUP = typer.main.get_command(app)


def told(place: str) -> Iterator[tuple[str, list[str]]]:
    """Where a command is told, and its words."""
    for path in sorted(ROOT.glob(_PLACES[place])):
        text = _FILLED.sub("X", path.read_text(encoding="utf-8"))
        for found in _TOLD.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", found[1].split()


def _is_command(words: list[str]) -> bool:
    """Not the product's name in a sentence, or that of another program's object."""
    return words[0].rstrip(".,:") in getattr(_GROUP, "commands", {})


def problem(words: list[str], *, whole: bool = False) -> str | None:
    """What the command line would not take of these words.

    ``whole``: they are a command and nothing else, not the beginning of a sentence.
    """
    command: Any = _GROUP
    left = [word.rstrip(".,:…") for word in words]
    while left and (inner := getattr(command, "commands", {}).get(left[0])):
        command = inner
        left.pop(0)
    known = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    most = None if any(each.nargs < 0 for each in arguments) else len(arguments)
    said = 0
    while left:
        word, _, value = left.pop(0).partition("=")
        if word.startswith("--"):
            option = known.get(word)
            if option is None:
                return f"no option {word}"
            if not option.is_flag and not value and left:
                left.pop(0)
            if option.is_flag and value:
                return f"{word} takes no value"
        elif getattr(command, "commands", None) and word in {"put", "new", "create", "add"}:
            return f"no command {word}"
        else:
            said += 1
    if whole and most is not None and said > most:
        return f"{said} words where {most} are taken"
    if whole and said < sum(each.required for each in arguments):
        return "a word is missing"
    return None


@pytest.mark.parametrize("place", _PLACES)
def test_what_people_are_told_to_type_is_taken(place: str) -> None:
    """A command in an empty state or a remedy is the first thing that a stranger tries."""
    wrong = {
        where: (" ".join(words), why)
        for where, words in told(place)
        if _is_command(words) and (why := problem(words, whole=place == "console"))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("policy put rules.yaml", "no command put"),
        ("datasets create --name x", "no option --name"),
        ("adapters", None),
        ("distill --intent returns", None),
        ("push returns ./here --wait live", "3 words where 2 are taken"),
        ("push returns", "a word is missing"),
    ],
)
def test_what_is_found(command: str, why: str | None) -> None:
    """The look itself sees what is wrong, and nothing else."""
    assert problem(command.split(), whole=True) == why
