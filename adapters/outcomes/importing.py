"""Tables of outcomes from elsewhere: CSV or lines of JSON, with ``text``, ``target`` and ``good``.

``intent`` and ``subject`` may be there too. Texts are redacted as captured ones are; of a long one
head and tail are kept, with what is known of the whole.
"""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from adapters.corpus.bringing import BadLine
from adapters.corpus.importing import MAX_LINE_BYTES, lines
from adapters.errors import BadName
from adapters.format.names import validate_alias
from adapters.outcomes.outcomes import ANY, Outcome, Outcomes

NEEDED: Final = ("text", "target", "good")
KNOWN: Final = (*NEEDED, "intent", "subject")
_AT_ONCE: Final = 200
_SHOWN: Final = 1000
_MAX_NAME: Final = 256
_MAX_TARGETS: Final = 256
_END: Final = 500
"""Characters that are kept of a text's head, and as many of its tail: encoders read less."""
_YES: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

Redact = Callable[[str, frozenset[str]], Awaitable[str]]
"""A text as it may be kept, given whose it is. Raises ``BadLine`` when nobody can tell."""
Traits = Callable[[str], tuple[float, ...]]
"""What is known of a text beside its meaning."""
Raw = Mapping[str, Any]


@dataclass(slots=True)
class Told:
    """What became of a table's lines."""

    imported: int = 0
    replaced: int = 0
    refused: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    """The first ones, each ``{line, reason}``."""
    judged: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)

    def reject(self, line: int, reason: str) -> None:
        """One that is not taken."""
        self.refused += 1
        if len(self.rejected) < _SHOWN:
            self.rejected.append({"line": line, "reason": reason})

    def count(self, outcome: Outcome) -> None:
        """One that is. Raises ``BadLine`` for one target too many."""
        if outcome.target not in self.judged and len(self.judged) >= _MAX_TARGETS:
            raise BadLine(f"a table may have outcomes of {_MAX_TARGETS} targets")
        self.judged[outcome.target] += 1
        self.good[outcome.target] += outcome.good  # type: ignore[assignment]  # shares add up
        self.imported += 1


class Importer:
    """Takes tables in, as they arrive. Belongs to the event loop."""

    def __init__(
        self, outcomes: Outcomes, redact: Redact, hash_of: Callable[[str], str], traits: Traits
    ) -> None:
        self._outcomes = outcomes
        self._redact = redact
        self._hash_of = hash_of
        self._traits = traits

    async def take(self, pieces: AsyncIterator[bytes], form: str, *, dry: bool) -> Told:
        """Take the lines of a table; what was taken stays when the rest does not arrive.

        Args:
            pieces: of the file.
            form: ``csv`` or ``jsonl``.
            dry: only look at it.

        Raises ``BadLine`` for a table whose columns are not known.
        """
        told, group = Told(), []
        async for number, raw in _csv(pieces) if form == "csv" else _jsonl(pieces):
            try:
                outcome = await self._outcome(raw, dry=dry)
                told.count(outcome)
            except BadLine as error:
                told.reject(number, str(error))
                continue
            group.append(outcome)
            if len(group) >= _AT_ONCE:
                await self._keep(group, told, dry=dry)
                group = []
        await self._keep(group, told, dry=dry)
        return told

    async def _keep(self, group: Sequence[Outcome], told: Told, *, dry: bool) -> None:
        if group and not dry:
            replaced = await asyncio.to_thread(self._outcomes.put, group)
            told.replaced += replaced
            told.imported -= replaced

    async def _outcome(self, raw: Raw | BadLine, *, dry: bool) -> Outcome:
        if isinstance(raw, BadLine):
            raise raw
        missing = [name for name in NEEDED if raw.get(name) in (None, "")]
        if missing:
            raise BadLine(f"{missing[0]!r} is missing")
        text, intent, subject = (_text(raw, each) for each in ("text", "intent", "subject"))
        target, good = target_of(raw["target"]), _share(raw["good"])
        persons = frozenset([subject] if subject else ())
        ends = text if len(text) <= 2 * _END else f"{text[:_END]}\n{text[-_END:]}"
        return Outcome(
            text=ends if dry else await self._redact(ends, persons),
            target=target,
            good=good,
            intent=intent or ANY,
            traits=self._traits(text),
            subject=self._hash_of(subject) if subject else None,
        )


def target_of(value: Any) -> str:
    """A target in its own spelling; ``provider/model`` is a frontier's. Raises ``BadLine``."""
    said = value.strip() if isinstance(value, str) else ""
    kind, colon, name = said.partition(":")
    if said == "base":
        return said
    if kind == "adapter" and colon:
        alias, at, digest = name.partition("@")
        try:
            validate_alias(alias)
        except BadName as error:
            raise BadLine(f"'target' names no adapter: {error}") from error
        if not at or (len(digest) == 12 and digest.isalnum()):
            return said
    model = name if kind == "frontier" and colon else said
    provider, slash, rest = model.partition("/")
    if provider and slash and rest and len(model) <= _MAX_NAME and model.isprintable():
        return f"frontier:{model}"
    raise BadLine(
        "'target' must be base, adapter:<alias>, adapter:<alias>@<digest12> or "
        "frontier:<provider>/<model>"
    )


def _text(raw: Raw, name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or (name != "text" and len(value) > _MAX_NAME):
        raise BadLine(f"{name!r} must be a text" + ("" if name == "text" else ", at most 256 long"))
    # PostgreSQL takes no NUL, and no database a half of a surrogate pair.
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _share(value: Any) -> float:
    """How good it was. Raises ``BadLine``."""
    said = value.strip().lower() if isinstance(value, str) else value
    if said in _YES:
        return _YES[said]
    try:
        found = float(said)
    except (TypeError, ValueError):
        found = float("nan")
    if not 0.0 <= found <= 1.0:
        raise BadLine("'good' must be true, false or a number from 0 to 1")
    return found


async def _jsonl(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, Raw | BadLine]]:
    async for number, line in lines(pieces):
        if line is None:
            yield number, BadLine(f"it is longer than {MAX_LINE_BYTES} bytes")
        elif line.strip():
            yield number, _object(line)


def _object(line: bytes) -> Raw | BadLine:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return BadLine("it is not valid JSON")
    return found if isinstance(found, dict) else BadLine("it is not a JSON object")


async def _csv(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, Raw | BadLine]]:
    """Rows, by the line that each begins at. A quoted field may go on over several lines."""
    header: list[str] | None = None
    async for number, record in _records(pieces):
        fields = record if isinstance(record, BadLine) else _fields(record)
        if header is None:
            if isinstance(fields, BadLine):
                raise BadLine(f"the first line must name the columns: {fields}")
            header = [name.strip().lstrip("\ufeff").lower() for name in fields]
            missing = [name for name in NEEDED if header.count(name) != 1]
            if missing:
                raise BadLine(
                    f"the first line must name the columns {', '.join(NEEDED)}, each once; "
                    f"{missing[0]!r} is not among them, or twice"
                )
        elif isinstance(fields, BadLine):
            yield number, fields
        elif fields:
            short = len(fields) != len(header)
            said = f"it has {len(fields)} fields, the first line {len(header)}"
            yield number, BadLine(said) if short else dict(zip(header, fields, strict=True))
    if header is None:
        raise BadLine("it is empty")


def _fields(record: bytes) -> list[str] | BadLine:
    try:
        text = record.decode("utf-8")
        return next(csv.reader(text.splitlines(keepends=True), strict=True), [])
    except UnicodeDecodeError:
        return BadLine("it is not UTF-8")
    except csv.Error as error:
        return BadLine(f"it is not CSV: {error}")


async def _records(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | BadLine]]:
    """Lines, joined where a quote is open: with an odd number of quotes it is."""
    begun, whole, lost = 0, bytearray(), False
    async for number, line in lines(pieces):
        begun = begun or number
        lost = lost or line is None or len(whole) + len(line) > MAX_LINE_BYTES
        if lost:
            whole.clear()
            yield begun, BadLine(f"it is longer than {MAX_LINE_BYTES} bytes")
            begun, lost = 0, False
            continue
        assert line is not None
        whole += line + b"\n"
        if whole.count(b'"') % 2 == 0:
            yield begun, bytes(whole)
            begun, whole = 0, bytearray()
    if whole:
        yield begun, BadLine("a quote is opened and never closed")
