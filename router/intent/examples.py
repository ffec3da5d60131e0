"""Where a head's examples come from, and the version that their content makes."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.config.auto import IntentConfig

OUT_OF_SCOPE = "oos"
"""The label that says: none of the intents. CLINC150 uses it too."""

MAX_EXAMPLES = 100_000
MAX_CHARS = 4000
_TEXT = ("text", "utterance", "input", "query")
_INTENT = ("intent", "label", "category", "teacher")


class IntentsInvalid(ValueError):
    """A file of intents or examples cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance and the intent that it has; None: it has none of them."""

    text: str
    intent: str | None


def declared(intents: Iterable[IntentConfig], out_of_scope: Iterable[str] = ()) -> list[Example]:
    """The examples that are written next to the intents, and those of none of them."""
    named = [Example(text, intent.name) for intent in intents for text in intent.examples]
    return [*named, *(Example(text, None) for text in out_of_scope)]


def from_file(path: Path) -> list[Example]:
    """Read a CSV file with a header, or a file with a JSON object per line.

    The text stands in the first of the fields text, utterance, input, query that is there, the
    intent in intent, label, category or teacher. The intent ``oos`` (or an empty one) marks what
    has none of the intents.

    Raises:
        IntentsInvalid: the file is missing, has another form, or too many rows.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows: Iterator[tuple[int, object]] = (
                enumerate(csv.DictReader(lines), 2)
                if path.suffix == ".csv"
                else ((n, json.loads(line)) for n, line in enumerate(lines, 1) if line.strip())
            )
            found = [_example(path, number, row) for number, row in _bounded(path, rows)]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise IntentsInvalid(f"{path} cannot be read as examples: {error}") from error
    if not found:
        raise IntentsInvalid(f"{path} has no examples: one per row is needed.")
    return found


def _bounded(path: Path, rows: Iterator[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    for count, row in enumerate(rows):
        if count >= MAX_EXAMPLES:
            raise IntentsInvalid(f"{path} has more than {MAX_EXAMPLES} examples: sample it.")
        yield row


def _example(path: Path, number: int, row: object) -> Example:
    fields = row if isinstance(row, dict) else {}
    text = next((fields[name] for name in _TEXT if name in fields), None)
    intent = next((fields[name] for name in _INTENT if name in fields), None)
    if not isinstance(text, str) or not text.strip() or not isinstance(intent, str | None):
        raise IntentsInvalid(
            f"{path}, line {number}: a row needs a text in one of the fields {list(_TEXT)} and an "
            f"intent in one of {list(_INTENT)}."
        )
    return Example(text[:MAX_CHARS], None if intent in {None, "", OUT_OF_SCOPE} else intent)


def version(encoder: str, settings: str, examples: Sequence[Example]) -> str:
    """12 hex digits that change when anything that a head depends on changes."""
    rows = sorted((example.text, example.intent or "") for example in examples)
    document = json.dumps([encoder, settings, rows], ensure_ascii=False)
    return hashlib.sha256(document.encode(errors="surrogatepass")).hexdigest()[:12]
