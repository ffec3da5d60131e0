"""A deploy file's YAML, in which nothing stands twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class NotYaml(ValueError):
    """The message says what is wrong, and where."""


def read_yaml(path: Path) -> Any:
    """What a file holds.

    YAML's own reader takes the last of two equal keys and drops the first, with all that is below
    it: API keys, rules, providers.

    Raises:
        OSError: it cannot be read.
        NotYaml: it is no YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Once)  # noqa: S506 - a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotYaml(f"is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise NotYaml("is nested more deeply than any deploy file") from error


class _Once(yaml.SafeLoader):
    """Refuses a mapping that has a key twice; what it is merged from (``<<``) may have it, too."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._looked_at: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Before what is merged into it stands among its own."""
        if id(node) not in self._looked_at:
            self._looked_at.add(id(node))
            _refuse_twice(node)
        super().flatten_mapping(node)


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        if (key.tag, key.value) in seen:
            raise NotYaml(f"line {key.start_mark.line + 1}: {key.value!r} stands there twice")
        seen.add((key.tag, key.value))
