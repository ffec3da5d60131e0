"""One transaction of either database."""

from __future__ import annotations

from typing import Any


class Rows:
    """One transaction. Statements have ``?`` for parameters."""

    def __init__(self, connection: Any, mark: str = "?") -> None:
        self._connection = connection
        self._mark = mark

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement; none of one that changes something."""
        cursor = self._connection.execute(statement.replace("?", self._mark), values)
        return cursor.fetchall() if cursor.description else []
