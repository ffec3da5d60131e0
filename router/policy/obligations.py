"""Obligations: what an answer must keep, whatever its spelling; found while it is still held back.

A kind of obligation is one class below: its settings, checked when rules are loaded, and how it
reads a text. Nothing here keeps anything back: ``Reading`` tells how much must wait.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal

import cel
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from router.policy import spelled
from router.policy.discounts import amounts_off, discounts, given_away, in_arguments
from router.policy.numbers import Quantity, durations, fields, money, percentages, plain
from router.ruling import Obligation
from router.wire.characters import normalised

SETTLED: Final = 48
"""Characters after a quantity that may still change what it means."""
_LOOK_BACK: Final = 96
"""Characters for which a number waits: more than ``SETTLED`` and ``_EVERY`` together."""
_EVERY: Final = 24
_KEPT: Final = 400
_SLACK: Final = 1e-6
_MAX_PHRASES: Final = 200
_MAX_PHRASE: Final = 200
_UNITS: Final = {"hours": 1 / 24, "days": 1.0, "weeks": 7.0, "months": 30.0, "years": 365.0}
_CENTS: Final = re.compile(r"(?<!per)cents?(?![a-z])")


@dataclass(frozen=True, slots=True)
class Breach:
    """Where an answer does not keep an obligation."""

    rule: str
    detail: str
    start: int
    end: int


class Kind(BaseModel):
    """What every kind of obligation has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    counts: ClassVar[bool] = True
    """Whether only numbers can break it."""

    @abstractmethod
    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:
        """Each breach in a ``plain`` text: what is wrong, and where."""

    @abstractmethod
    def instruction(self) -> str:
        """The same, said to a model."""

    def waits(self, _tail: str) -> int:
        """Newest characters of a text that might become a breach, numbers aside."""
        return 0


Positive = Annotated[float, Field(ge=0, le=1e12)]
Words = Annotated[tuple[str, ...], Field(max_length=_MAX_PHRASES)]


class MaxDiscount(Kind):
    """No more off the price than so many percent, or than an amount."""

    kind: Literal["max_discount"]
    percent: Annotated[float, Field(ge=0, le=100)]
    amount: Positive | None = None
    currency: str | None = None
    strict: bool = False

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:
        """Percentages, parts, pairs of prices and bundles; fields of tool arguments."""
        found = list(discounts(text, strict=self.strict))
        if self.percent < 100:
            found += given_away(text) if self.strict else ()
        if arguments:
            found += in_arguments(text)
        for each in found:
            if each.value > self.percent + _SLACK:
                yield self._told(each, f"{each.value:g} % off"), each.start, each.end
        if self.amount is not None:
            for each in amounts_off(text):
                if _of(each, self.currency) and each.value > self.amount + _SLACK:
                    yield self._told(each, f"{each.value:g} off"), each.start, each.end

    def _told(self, found: Quantity, what: str) -> str:
        return f"{found.text.strip()!r} is {what}; at most {self._most()} is allowed"

    def _most(self) -> str:
        more = "" if self.amount is None else f" or {self.amount:g} {self.currency or ''}".rstrip()
        return f"{self.percent:g} %{more}"

    def instruction(self) -> str:
        """For the model."""
        return f"Never offer or mention a discount of more than {self._most()}."


class MaxAmount(Kind):
    """No larger amount of money; with ``about``, only where one of these words stands near."""

    kind: Literal["max_amount"]
    amount: Positive
    currency: str | None = None
    about: Words = ()

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:
        """Money in any spelling; numbers of tool arguments under a key that ``about`` names."""
        for found in money(text):
            too_much = _of(found, self.currency) and found.value > self.amount + _SLACK
            if too_much and _near(text, found, self.about):
                yield self._told(found), found.start, found.end
        if arguments:
            for found in _fields(
                text, self.about or ("amount", "price", "total", "refund", "credit")
            ):
                if found.value > self.amount + _SLACK:
                    yield self._told(found), found.start, found.end

    def _told(self, found: Quantity) -> str:
        return f"{found.text.strip()!r} is more than {self.amount:g} {self.currency or ''}".rstrip()

    def instruction(self) -> str:
        """For the model."""
        what = f" for {' or '.join(self.about)}" if self.about else ""
        return (
            f"Never promise more than {self.amount:g} {self.currency or ''}".rstrip() + f"{what}."
        )


class MaxPercent(Kind):
    """No larger percentage of anything; with ``about``, only where one of these words is near."""

    kind: Literal["max_percent"]
    percent: Positive
    about: Words = ()

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:
        """Percentages in any spelling."""
        found = list(percentages(text))
        if arguments:
            found += _fields(text, self.about or ("percent", "pct", "percentage", "rate"))
        for each in found:
            if each.value > self.percent + _SLACK and (arguments or _near(text, each, self.about)):
                yield f"{each.text.strip()!r} is more than {self.percent:g} %", each.start, each.end

    def instruction(self) -> str:
        """For the model."""
        what = f" for {' or '.join(self.about)}" if self.about else ""
        return f"Never state more than {self.percent:g} %{what}."


class MaxDuration(Kind):
    """No longer time; with ``about``, only where one of these words stands near."""

    kind: Literal["max_duration"]
    days: Positive
    about: Words = ()

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:
        """Lengths of time in any unit."""
        found = [each for each in durations(text) if _near(text, each, self.about)]
        if arguments:
            for unit, days in _UNITS.items():
                found += (each._replace(value=each.value * days) for each in _fields(text, (unit,)))
        for each in found:
            if each.value > self.days + _SLACK:
                yield f"{each.text.strip()!r} is more than {self.days:g} days", each.start, each.end

    def instruction(self) -> str:
        """For the model."""
        what = f" for {' or '.join(self.about)}" if self.about else ""
        return f"Never promise more than {self.days:g} days{what}."


class MustNotSay(Kind):
    """None of these phrases, in any case, accents and spacing aside."""

    kind: Literal["must_not_say"]
    counts: ClassVar[bool] = False
    phrases: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_PHRASES)]

    @field_validator("phrases")
    @classmethod
    def _say_something(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if any(not _WORD.search(each) or len(each) > _MAX_PHRASE for each in phrases):
            raise ValueError(
                f"phrases must have letters or digits, at most {_MAX_PHRASE} characters"
            )
        return phrases

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:  # noqa: ARG002
        """Whole words; where they are in the text without its accents."""
        phrases = tuple(map(spelled.folded, self.phrases))
        for found in _phrases(phrases).finditer(spelled.folded(normalised(text).text)):
            yield f"{found[0]!r} must not be said", found.start(), found.end()

    def waits(self, tail: str) -> int:
        """What the beginning of a phrase at the end might become."""
        longest = max(map(len, self.phrases)) * 2
        end = " ".join(spelled.folded(normalised(tail[-longest:]).text).split())
        wanted = [" ".join(spelled.folded(each).split()) for each in self.phrases]
        for size in range(min(len(end), max(map(len, wanted))), 0, -1):
            if any(each.startswith(end[-size:]) for each in wanted):
                return min(len(tail), size * 2)
        return 0

    def instruction(self) -> str:
        """For the model."""
        return "Never say: " + "; ".join(self.phrases[:20]) + "."


class MustNotMatch(Kind):
    """Nothing that a regular expression finds (RE2's kind: linear time)."""

    kind: Literal["must_not_match"]
    counts: ClassVar[bool] = False
    pattern: Annotated[str, Field(min_length=1, max_length=500)]
    says: Annotated[str, Field(max_length=500)] = ""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            _matches().execute({"text": "", "pattern": pattern})
        except Exception as error:
            raise ValueError(f"is no regular expression: {str(error).splitlines()[0]}") from error
        return pattern

    def breaches(self, text: str, *, arguments: bool) -> Iterator[tuple[str, int, int]]:  # noqa: ARG002
        """Whether it matches at all: where, the library does not say."""
        if _matches().execute({"text": text, "pattern": self.pattern}):
            yield self.says or f"matches {self.pattern!r}", 0, 0

    def waits(self, tail: str) -> int:
        """Long enough for what a pattern is about."""
        return min(len(tail), _LOOK_BACK)

    def instruction(self) -> str:
        """For the model."""
        return self.says


AnyKind = Annotated[
    MaxDiscount | MaxAmount | MaxPercent | MaxDuration | MustNotSay | MustNotMatch,
    Field(discriminator="kind"),
]
KINDS: Final = (
    "max_discount",
    "max_amount",
    "max_percent",
    "max_duration",
    "must_not_say",
    "must_not_match",
)


class _One(BaseModel):
    kind: AnyKind


def kind_of(settings: Mapping[str, Any]) -> Kind:
    """The obligation that these settings are. Raises ``ValueError`` in one line."""
    named = settings.get("kind")
    if named not in KINDS:
        raise ValueError(f"the kind {named!r} is unknown; known: {', '.join(KINDS)}")
    try:
        return _One.model_validate({"kind": dict(settings)}).kind
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][2:])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error


@cache
def _kind_of(obligation: Obligation) -> Kind:
    return kind_of({"kind": obligation.kind, **obligation.settings})


def instruction(obligation: Obligation) -> str:
    """What a model is told of it."""
    return kind_of({"kind": obligation.kind, **obligation.settings}).instruction()


# Reading


class Reading:
    """Reads one text of an answer as it comes.

    Args:
        obligations: to be kept.
        arguments: the text is a tool call's arguments, in JSON.
    """

    def __init__(self, obligations: Sequence[Obligation], *, arguments: bool = False) -> None:
        kinds = [(each.rule, kind_of({"kind": each.kind, **each.settings})) for each in obligations]
        self._counting = [each for each in kinds if each[1].counts]
        self._wording = [each for each in kinds if not each[1].counts]
        self._arguments = arguments
        self._kept = ""
        self._unread = 0
        self._waited = False

    def read(self, text: str, *, ended: bool) -> tuple[list[Breach], int]:
        """The next piece: what is broken for certain, and how many of the newest characters wait.

        ``ended``: nothing that could change its meaning follows.
        """
        self._kept += text
        self._unread += len(text)
        waiting = self._waiting()
        found: list[Breach] = []
        # Numbers are looked for where one may be, and not again with each of a stream's events.
        if ended or ((waiting or self._waited) and self._unread >= _EVERY):
            found += self._counted(ended=ended)
            self._unread, self._waited = 0, waiting > 0
        self._waited = self._waited or waiting > 0
        if self._wording:
            found += _breaches(self._wording, plain(self._kept), arguments=self._arguments)
        if ended:
            waiting = 0
        elif self._arguments:
            waiting = len(self._kept)
        elif len(self._kept) > 2 * _KEPT:
            self._kept = self._kept[-max(_KEPT, waiting + _LOOK_BACK) :]
        return found, waiting

    def _counted(self, *, ended: bool) -> list[Breach]:
        text = plain(self._kept)
        found = _breaches(self._counting, text, arguments=self._arguments)
        return [each for each in found if ended or len(text) - each.end >= SETTLED]

    def _waiting(self) -> int:
        waiting = max((kind.waits(self._kept) for _, kind in self._wording), default=0)
        if self._counting:
            tail = self._kept[-_LOOK_BACK:]
            first = next(_triggers(tail), None)
            if first is not None:
                waiting = max(waiting, len(tail) - first)
        return waiting


def _breaches(kinds: Sequence[tuple[str, Kind]], text: str, *, arguments: bool) -> list[Breach]:
    return [
        Breach(rule, detail, start, end)
        for rule, kind in kinds
        for detail, start, end in kind.breaches(text, arguments=arguments)
    ]


_WORD = re.compile(r"\w")
_SIGNAL = re.compile(r"[\d$€£¥₹½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|[^\W\d_]+")
_TOO_COMMON: Final = frozenset(
    {
        *("a", "an", "and", "one", "et", "y", "un", "une", "uno", "una", "ein", "eine", "einen"),
        *("la", "die", "und", "cent"),
    }
)


_OTHER_BEGINNINGS: Final = frozenset(
    {"buy", "bogo", "free", "halve", "halves", "halved", "halving"}
)


def _triggers(tail: str) -> Iterator[int]:
    """Where a number may begin: in figures, in words, or in a word that is not over."""
    for found in _SIGNAL.finditer(tail):
        word = found[0]
        if not word[0].isalpha():
            yield found.start()
            continue
        folded = spelled.folded(word)
        if folded in _TOO_COMMON:
            continue
        last = found.end() == len(tail)
        whole = folded in spelled.beginnings() or folded in _OTHER_BEGINNINGS
        if whole or (last and spelled.could_begin(folded)):
            yield found.start()


def violations(
    obligations: Iterable[Obligation], text: str, *, arguments: bool = False
) -> list[Breach]:
    """What a whole text does not keep."""
    return Reading(list(obligations), arguments=arguments).read(text, ended=True)[0]


def _of(found: Quantity, currency: str | None) -> bool:
    """Another currency is not compared; one that nobody named is."""
    return currency is None or found.currency == currency.upper()


def _near(text: str, found: Quantity, about: Sequence[str]) -> bool:
    if not about:
        return True
    around = text[max(0, found.start - 120) : found.end + 60]
    return _phrases(tuple(about), open_end=True).search(around) is not None


@cache
def _phrases(phrases: tuple[str, ...], *, open_end: bool = False) -> re.Pattern[str]:
    """Any of them as whole words, whatever stands between the words."""
    spaced = [r"\W{1,3}".join(re.escape(word) for word in each.split()) for each in phrases]
    end = "" if open_end else r"(?!\w)"
    return re.compile(rf"(?<!\w)(?:{'|'.join(spaced)}){end}", re.IGNORECASE)


def _fields(text: str, names: Sequence[str]) -> Iterator[Quantity]:
    """Numbers of tool arguments under a key with one of these words in it."""
    for found in fields(text):
        key = found.key.lower()
        if any(name.lower() in key for name in names):
            value = found.value / 100 if _CENTS.search(key) else found.value
            yield Quantity(value, found.start, found.end, text[found.start : found.end])


@cache
def _matches() -> Any:
    return cel.compile("text.matches(pattern)")
