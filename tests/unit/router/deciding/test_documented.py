"""The document says what the code does: every reason code is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.deciding.codes import Code

TEXT = (Path(__file__).resolve().parents[4] / "docs" / "routing.md").read_text()


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_explained(code: Code) -> None:
    """Whoever reads a code in a decision finds it in the table."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert any(f"`{code}`" in row.split("|")[1] for row in rows)
