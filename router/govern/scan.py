"""Looking for personal data and secrets in the texts of a body; fails closed (law 6)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from router.config.governance import SECRETS, PiiConfig
from router.errors import GuardUnavailable
from router.govern.detect import (
    AwaitedDetector,
    Detector,
    DetectorUnavailable,
    Span,
    TextTooLong,
    merged,
)
from router.govern.detect.names.products import is_product
from router.govern.seams import Piece, Run, runs
from router.wire.kinds import Kind
from router.wire.texts import Text

_ON_THE_LOOP_CHARS: Final = 8_000
"""More text than this is searched in a thread."""
_SENTENCES: Final = frozenset(Kind) - {
    Kind.KEY,
    Kind.URL,
    Kind.IDENTITY,
    Kind.TOKEN,
    Kind.DEFINITION,
    Kind.SEED,
}
"""Kinds of text in which a model can find names; in the others their form gives values away."""
_TEXTS_KEPT: Final = 16_384
_SPANS_KEPT: Final = 64
_PERSON: Final = "PERSON"
_OF_FEW_SIGNS: Final = frozenset({"AGE", "DATE_TIME"})
_log = logging.getLogger("graftwork.router")

Found = Mapping[str, Sequence[Span]]
"""Of each text what is in it."""


@dataclass(frozen=True)
class Detectors:
    """What looks.

    Attributes:
        patterns: finds what its form gives away.
        names: finds what only a sentence gives away; None: nobody does.
        of_names: the kinds of data that only ``names`` finds.
    """

    patterns: Detector
    names: AwaitedDetector | None = None
    of_names: frozenset[str] = frozenset()


class Scanner:
    """Looks for what must not leave. Raises ``GuardUnavailable`` when it cannot."""

    def __init__(self, detectors: Detectors, config: PiiConfig) -> None:
        self._detectors = detectors
        self._config = config
        self._seen = _Seen()

    @property
    def of_names(self) -> frozenset[str]:
        """Kinds of data for which ``find`` is to be told to look for names."""
        return self._detectors.of_names

    async def secrets(self, texts: Iterable[Text]) -> Found:
        """What the form of values gives away."""
        return await self.find(texts, names=False)

    async def find(self, texts: Iterable[Text], *, names: bool) -> Found:
        """What is in these texts.

        Args:
            texts: of a body, or of a part of one.
            names: look for what only a sentence gives away, too.
        """
        texts = list(texts)
        looked = {each.text: None for each in texts}
        size = sum(map(len, looked))
        if size > self._config.max_chars:
            raise GuardUnavailable(
                f"The request has {size} characters of text; at most {self._config.max_chars} are "
                "searched for what must not leave (governance.pii.max_chars)."
            )
        joined = runs(texts)
        try:
            found, unread = self._at_once({**looked, **{run.text: None for run in joined}})
            if unread:
                async with asyncio.timeout(self._config.budget_s):
                    found |= self._remembered(await asyncio.to_thread(self._look, unread))
            over = [piece for run in joined for piece in run.pieces(found[run.text])]
            if names:
                async with asyncio.timeout(self._config.budget_s):
                    over += await self._names(found, texts, joined)
        except TimeoutError as error:
            raise _unavailable("it takes too long") from error
        except TextTooLong as error:
            raise _unavailable("a text is too long") from error
        except DetectorUnavailable as error:
            raise _unavailable("the detector is not there") from error
        except GuardUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may leave
            # Its message may repeat what was looked at, so only its kind is told.
            _log.error("looking for personal data failed: %s", type(error).__name__)
            raise _unavailable("the detector failed") from None
        for text, span in over:
            found[text] = self._with_piece(found[text], span)
        return {text: found[text] for text in looked} if joined else found

    def _with_piece(self, own: Sequence[Span], piece: Span) -> Sequence[Span]:
        """What is in one text, and its piece of a value that goes on in another.

        The value is what is meant, not what its piece looks like; but a site's name that goes over
        a seam hides neither a secret nor an address.
        """
        if any(fnmatchcase(piece.entity, glob) for glob in self._config.personal):
            if any(span.piece and replace(span, piece=piece.piece) == piece for span in own):
                return own  # the same text stands there twice
            surest = [span for span in own if span.entity in SECRETS]
            return merged(merged(surest, [piece]), own)
        return merged(own, [piece])

    def _at_once(self, texts: Iterable[str]) -> tuple[dict[str, Sequence[Span]], list[str]]:
        """What is found without waiting, which needs no timer; and the texts that take longer."""
        found: dict[str, Sequence[Span]] = {}
        new: list[str] = []
        for text in texts:
            known = self._seen.recall(text)
            if known is None:
                new.append(text)
            else:
                found[text] = known
        if sum(map(len, new)) > _ON_THE_LOOP_CHARS:
            return found, new
        return found | self._remembered(self._look(new)), []

    def _look(self, texts: list[str]) -> dict[str, Sequence[Span]]:
        find: Callable[[str], list[Span]] = self._detectors.patterns.find
        return {text: tuple(find(text)) for text in texts}

    def _remembered(self, looked: dict[str, Sequence[Span]]) -> dict[str, Sequence[Span]]:
        for text, spans in looked.items():
            self._seen.remember(text, spans)
        return looked

    async def _names(
        self, found: dict[str, Sequence[Span]], texts: list[Text], joined: list[Run]
    ) -> list[Piece]:
        """What a model finds in single texts goes to ``found``; returns what goes over several."""
        if self._detectors.names is None:
            return []
        own = {text.text: None for text in texts if text.kind in _SENTENCES}
        around = [(run, window) for run in joined for window in run.windows()]
        read = list(own | {window.text: None for _, window in around})
        told = {
            text: [span for span in spans if _says_something(text, span)]
            for text, spans in zip(read, await self._detectors.names.find(read), strict=True)
        }
        for text in own:
            if told[text]:
                found[text] = merged(found[text], told[text])
        return [piece for run, window in around for piece in run.pieces(told[window.text], window)]


def _says_something(text: str, span: Span) -> bool:
    """Whether somebody can be meant: the mark of a citation, ``[1]``, is nobody's address."""
    if span.entity == _PERSON and is_product(text, span.start, span.end):
        return False
    if span.entity in _OF_FEW_SIGNS:
        return True
    value = text[span.start : span.end]
    letters = sum(1 if letter.isascii() else 2 for letter in value if letter.isalpha())
    return letters >= 2 or sum(map(str.isdigit, value)) >= 4


class _Seen:
    """What was found in texts that come again: a client sends a whole conversation each turn.

    Knows neither texts nor values: a keyed digest of each text, and where in it what is.
    """

    __slots__ = ("_key", "_known")

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, Sequence[Span]] = OrderedDict()

    def recall(self, text: str) -> Sequence[Span] | None:
        """What was found; None when it was not seen, or long ago."""
        key = self._digest(text)
        if key not in self._known:
            return None
        self._known.move_to_end(key)
        return self._known[key]

    def remember(self, text: str, spans: Sequence[Span]) -> None:
        """What was found; not of texts with so much in them that they are worth their memory."""
        if len(spans) <= _SPANS_KEPT:
            self._known[self._digest(text)] = spans
            if len(self._known) > _TEXTS_KEPT:
                self._known.popitem(last=False)

    def _digest(self, text: str) -> bytes:
        said = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(said, digest_size=16, key=self._key).digest()


def _unavailable(why: str) -> GuardUnavailable:
    return GuardUnavailable(
        f"What must not leave cannot be looked for now: {why}. Nothing was sent to any provider."
    )
