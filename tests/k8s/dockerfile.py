"""A Dockerfile as data: stages with their instructions, environment and final settings."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction with its words; continuation lines are joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments, of the JSON form or of the shell's."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


@dataclass(frozen=True)
class Stage:
    """One ``FROM … AS name``."""

    name: str
    parent: str
    instructions: list[Instruction] = field(default_factory=list)


class Dockerfile:
    """The stages of a file by name, and what a stage inherits."""

    def __init__(self, path: Path) -> None:
        self.arguments: dict[str, str] = {}
        self.stages: dict[str, Stage] = {}
        current: Stage | None = None
        for each in _instructions(path.read_text(encoding="utf-8")):
            if each.name == "FROM":
                parent, _, name = each.text.partition(" AS ")
                current = self.stages[name] = Stage(name, parent)
            elif current is None:
                name, _, value = each.text.partition("=")
                self.arguments[name] = value
            else:
                current.instructions.append(each)

    def lineage(self, name: str) -> list[Stage]:
        """A stage and what it is built on, the oldest first."""
        stage = self.stages[name]
        older = self.lineage(stage.parent) if stage.parent in self.stages else []
        return [*older, stage]

    def all(self, name: str, kind: str) -> list[Instruction]:
        """Every instruction of a kind that ends up in a stage."""
        return [i for s in self.lineage(name) for i in s.instructions if i.name == kind]

    def last(self, name: str, kind: str) -> Instruction:
        """The one that counts."""
        return self.all(name, kind)[-1]

    def pairs(self, name: str, kind: str) -> dict[str, str]:
        """``ENV`` or ``LABEL`` of a stage."""
        words = [word for each in self.all(name, kind) for word in each.words]
        return {key: value for key, _, value in (word.partition("=") for word in words)}


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    rows = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Instruction(name.upper(), rest.strip()) for name, _, rest in rows]
