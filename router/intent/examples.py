"""Where a head's examples come from, and the version that their content makes."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.config.auto import IntentConfig, intent_name

OUT_OF_SCOPE = "oos"
"""The label that says: none of the intents. CLINC150 uses it too."""

MAX_EXAMPLES = 100_000
"""Of a file."""
MAX_CHARS = 4000
"""Of a text; what is longer is cut."""
MAX_PAIRS = 20_000_000
"""Examples times intents: training has a few matrices of so many numbers, 80 MB each."""
_MAX_FILE_BYTES = 512 * 1024 * 1024
_MAX_TOLD = 1000
"""Characters of a reason."""
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
    named = [Example(t[:MAX_CHARS], intent.name) for intent in intents for t in intent.examples]
    return [*named, *(Example(text[:MAX_CHARS], None) for text in out_of_scope)]


def require_bounded(examples: Sequence[Example]) -> None:
    """Raises ``IntentsInvalid`` for more than a head can be made of."""
    count = len({example.intent for example in examples})
    if len(examples) * count > MAX_PAIRS:
        raise IntentsInvalid(
            f"{len(examples)} examples of {count} intents are more than {MAX_PAIRS} pairs of an "
            "example and an intent: sample the examples, join intents, or look whether the "
            "intent's column really has intents."
        )


def from_file(path: Path) -> list[Example]:
    """Read a CSV file with a header, or a file with a JSON object per line.

    The text stands in the first of the fields text, utterance, input, query that is there, the
    intent in intent, label, category or teacher. The intent ``oos`` (or an empty one) marks what
    has none of the intents.

    Raises:
        IntentsInvalid: the file is missing, too large, has another form, or too many rows.
    """
    try:
        require_file(path, _MAX_FILE_BYTES)
        # With or without the mark that spreadsheets put before a file's first column.
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows: Iterator[tuple[int, object]] = (
                enumerate(csv.DictReader(lines), 2)
                if path.suffix == ".csv"
                else ((n, json.loads(line)) for n, line in enumerate(lines, 1) if line.strip())
            )
            found = [_example(path, number, row) for number, row in _bounded(path, rows)]
    except IntentsInvalid:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise IntentsInvalid(f"{path} cannot be read as examples: {told(error)}") from error
    if not found:
        raise IntentsInvalid(f"{path} has no examples: one per row is needed.")
    return found


def require_file(path: Path, most: int) -> None:
    """Raises ``IntentsInvalid`` for what is not a file of at most so many bytes.

    A pipe or a device would be read for ever.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise IntentsInvalid(f"{path} is not a file.")
    if found.st_size > most:
        raise IntentsInvalid(f"{path} is over {most} bytes: divide or sample it.")


def told(error: Exception) -> str:
    """The reason, at a length that a log takes."""
    return str(error)[:_MAX_TOLD]


def _bounded(path: Path, rows: Iterator[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    for count, row in enumerate(rows):
        if count >= MAX_EXAMPLES:
            raise IntentsInvalid(f"{path} has more than {MAX_EXAMPLES} examples: sample it.")
        yield row


def _example(path: Path, number: int, row: object) -> Example:
    fields = row if isinstance(row, dict) else {}
    text = next((fields[name] for name in _TEXT if name in fields), None)
    # What has no column for it is not meant to have none of the intents.
    intent = next((fields[name] for name in _INTENT if name in fields), 0)
    if not isinstance(text, str) or not text.strip() or not isinstance(intent, str | None):
        raise IntentsInvalid(
            f"{path}, line {number}: a row needs a text in one of the fields {list(_TEXT)} and an "
            f"intent in one of {list(_INTENT)}."
        )
    name = (intent or "").strip()
    if name in {"", OUT_OF_SCOPE}:
        return Example(text[:MAX_CHARS], None)
    try:
        return Example(text[:MAX_CHARS], intent_name(name))
    except ValueError as error:
        raise IntentsInvalid(f"{path}, line {number}: {error}.") from error


def version(encoder: str, settings: str, examples: Sequence[Example]) -> str:
    """12 hex digits that change when anything that a head depends on changes."""
    rows = sorted((example.text, example.intent or "") for example in examples)
    document = json.dumps([encoder, settings, rows], ensure_ascii=False)
    return hashlib.sha256(document.encode(errors="surrogatepass")).hexdigest()[:12]
