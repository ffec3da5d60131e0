"""Obligations: what an answer must keep, whatever its spelling.

A kind of obligation is one class below: its settings, checked when rules are loaded, and what in a
text breaks it. How an answer is read while it comes is ``router.policy.reading``'s.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal

import cel
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from router.policy import spelled
from router.policy.discounts import amounts_off, discounts, given_away, in_arguments
from router.policy.numbers import Quantity, durations, fields, money, percentages
from router.ruling import Obligation
from router.wire.characters import normalised

LOOK_BACK: Final = 96
"""Characters for which what may become a breach waits."""
_SLACK: Final = 1e-6
_MAX_PHRASES: Final = 200
_MAX_PHRASE: Final = 200
_UNITS: Final = {"hours": 1 / 24, "days": 1.0, "weeks": 7.0, "months": 30.0, "years": 365.0}
_WORD: Final = re.compile(r"\w")
_CENTS: Final = re.compile(r"(?<!per)cents?(?![a-z])")


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
        return min(len(tail), LOOK_BACK)

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


def kind_meant(obligation: Obligation) -> Kind:
    """The kind of an obligation whose settings were checked when its rule was loaded."""
    return kind_of({"kind": obligation.kind, **obligation.settings})


def instruction(obligation: Obligation) -> str:
    """What a model is told of it."""
    return kind_meant(obligation).instruction()


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
