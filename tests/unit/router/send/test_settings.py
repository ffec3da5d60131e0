"""Every delivery setting is in its document, with its default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from router.config.delivery import DeliveryConfig

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "delivery.md"


def rows(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """As the table has them."""
    for name, field in section.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from rows(type(field.default), f"{prefix}{name}.")
        else:
            default = field.default
            shown = (
                "none"
                if default == frozenset()
                else f"{default:,}"
                if type(default) is int
                else str(default).lower()
                if isinstance(default, bool)
                else f"{default:g}"
            )
            text = (field.description or "").replace("|", "\\|")
            yield f"| `{prefix}{name}` | {shown} | {text} |"


def test_the_table_of_settings_is_the_configuration() -> None:
    """Each row, word for word."""
    text = DOCUMENT.read_text()
    assert [row for row in rows(DeliveryConfig) if row not in text] == []
