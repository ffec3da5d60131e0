"""Exchanges from elsewhere: logs and examples in lines of JSON, redacted as captured ones are."""

from __future__ import annotations

import asyncio
import time
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import orjson

from adapters.corpus.bringing import BadLine, Brought
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges

Form = Literal["openai_logs", "messages", "prompt_completion"]
FORMS: Final[tuple[str, ...]] = get_args(Form)
IMPORTED: Final = "import"
"""The target of what came this way."""
MAX_LINE_BYTES: Final = 2**20
_AT_ONCE: Final = 100
_SHOWN: Final = 1000
_MAX_NAME: Final = 256


Read = Callable[[str, Mapping[str, Any]], Brought]
"""Reads one line of a format. Raises ``BadLine``."""
Redact = Callable[[Any, frozenset[str]], Awaitable[Any]]
"""A value of one exchange as it may be kept, given the names of whose it is.

Raises ``BadLine`` when nobody can tell.
"""


@dataclass(frozen=True, slots=True)
class Bringing:
    """Whose they are, and what they are about where they do not say."""

    form: str
    tenant: str
    intent: str | None = None


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines."""

    imported: int = 0
    duplicates: int = 0
    refused: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    """The first ones, each ``{line, reason}``."""

    def reject(self, line: int, reason: str) -> None:
        """One that is not taken."""
        self.refused += 1
        if len(self.rejected) < _SHOWN:
            self.rejected.append({"line": line, "reason": reason})


class Importer:
    """Takes files in, as they arrive. Belongs to the event loop.

    Args:
        exchanges: the corpus.
        read: knows the formats.
        redact: what may be kept.
        hash_of: what stands for a person.
    """

    def __init__(
        self, exchanges: Exchanges, read: Read, redact: Redact, hash_of: Callable[[str], str]
    ) -> None:
        self._exchanges = exchanges
        self._read = read
        self._redact = redact
        self._hash_of = hash_of

    async def take(self, pieces: AsyncIterator[bytes], bringing: Bringing) -> ImportReport:
        """Take the lines of a file; what was taken stays when the rest does not arrive."""
        told = ImportReport()
        group: list[tuple[int, Exchange]] = []
        async for number, line in lines(pieces):
            if number == 1 and line is not None:
                line = line.removeprefix(BOM_UTF8)  # noqa: PLW2901 - some editors begin files so
            try:
                found = await self._exchange(line, bringing)
            except BadLine as error:
                told.reject(number, str(error))
                continue
            if found is not None:
                group.append((number, found))
            if len(group) >= _AT_ONCE:
                await self._keep(group, told)
                group = []
        if group:
            await self._keep(group, told)
        told.rejected.sort(key=lambda each: int(each["line"]))
        return told

    async def _keep(self, group: list[tuple[int, Exchange]], told: ImportReport) -> None:
        taken = await asyncio.to_thread(self._exchanges.take_all, [each for _, each in group])
        for (number, _), each in zip(group, taken, strict=True):
            if each.id is None:
                told.reject(number, "the corpus is full, or the person was erased since")
            elif each.is_new:
                told.imported += 1
            else:
                told.duplicates += 1

    async def _exchange(self, line: bytes | None, bringing: Bringing) -> Exchange | None:
        if line is None:
            raise BadLine(f"it is longer than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            return None
        brought = self._read(bringing.form, _object(line))
        intent = bringing.intent or brought.intent or "none"
        if len(intent) > _MAX_NAME or len(brought.session) > _MAX_NAME:
            raise BadLine(f"'intent' or 'session' is longer than {_MAX_NAME} characters")
        own = {
            "messages": [dict(each) for each in brought.messages],
            "response": brought.response,
            "more": dict(brought.more),
            "session": brought.session,
        }
        kept = await self._redact(own, brought.persons)
        session = brought.session
        if kept["session"] != session:
            session = f"session_{self._hash_of(session)[:24]}"
        model = {"model": brought.model[:_MAX_NAME]} if brought.model else {}
        return Exchange(
            id="",
            at=time.time() if brought.at is None else brought.at,
            intent=intent,
            tenant=bringing.tenant,
            target=IMPORTED,
            messages=tuple(kept["messages"]),
            response=kept["response"],
            session=session,
            subjects=tuple(sorted(map(self._hash_of, brought.persons))),
            details={**kept["more"], **model},
        )


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine("it is not valid JSON") from error
    if not isinstance(found, dict):
        raise BadLine("it is not a JSON object")
    return found


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """The lines of a file, counted from 1; None for one that is too long."""
    number, rest, skips = 1, bytearray(), False
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield number, None if skips or len(line) > MAX_LINE_BYTES else bytes(line)
            number, skips = number + 1, False
        rest = last
        if len(rest) > MAX_LINE_BYTES:
            rest.clear()
            skips = True
    if rest or skips:
        yield number, None if skips else bytes(rest)
