"""What was asked and what was decided: the records of one request that nothing changes later."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.aliases import RoutingTable
from adapters.evaluation import GateResult
from router.config.auth import KeyScope
from router.config.priority import Priority
from router.hardness import NOT_JUDGED, Hardness
from router.prices import FREE, NO_TARIFF, Price, Tariff
from router.ruling import NO_RULING, Ruling
from router.wire.endpoint import Endpoint
from router.wire.texts import Text

_DIGEST = re.compile(r"#[0-9a-f]{16}")
AUTO: Final = "auto"
BASE: Final = "base"
SUBJECT_HEADER: Final = "x-graftwork-subject"
_SUBJECT_FIELDS: Final = ("user", "safety_identifier")
NO_INTENT: Final = "none"
"""What records and beliefs call a request whose intent was not recognised."""
WITHHELD: Final = "withheld"
"""The code of an option to which something in the request may not go."""


# What was asked


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    tenant: str
    scopes: frozenset[KeyScope]
    priority: Priority = Priority.STANDARD
    """The most urgent class that its requests may have."""
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What rules may know of who asks, as it is configured with the key."""
    subject: str | None = None
    """Whose data its requests carry, where the credential itself says so."""
    is_local: bool = False
    """Whoever reaches a process that has no keys: the operator, as far as anybody can tell."""


@dataclass(frozen=True, slots=True)
class Hints:
    """The client's own wishes, from headers or the body's ``graftwork`` extension."""

    max_cost_usd: float | None = None
    session: str | None = None
    subject: str | None = None
    """Whose data it carries, in the extension; the header and the API's own fields say it too."""
    timeout_s: float | None = None
    intent: str | None = None
    fallback: bool = False
    """Somebody else may answer for a pinned version."""
    fallbacks: tuple[str, ...] = ()
    """Targets that may answer when what is named cannot, in order."""
    context: tuple[str, ...] | None = None
    """Collections that the answer may draw on, or ``none``; None: as the route says."""
    trim: bool = False
    """A conversation that is too long may lose its oldest turns."""
    no_capture: bool = False
    """Nothing of it is kept to learn from."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the client says of the matter, for rules; it counts only from keys that are trusted."""


NO_HINTS: Final = Hints()


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of whoever answers it; read from the body once."""

    input_tokens: int = 0
    """Estimated from the UTF-8 bytes of everything that the model reads."""
    max_output_tokens: int | None = None
    """The client's own bound on the answer."""
    features: frozenset[str] = frozenset()
    """Of ``tools``, ``json_schema``, ``vision``, ``logprobs``, ``stored``."""
    images: int = 0
    """Pictures in it."""
    inline_bytes: int = 0
    """Encoded pictures and files in the body itself."""
    parts: frozenset[str] = frozenset()
    """The types of its items and content parts."""
    least_input_tokens: int | None = None
    """Of what is left when all turns went that may go; None: none may."""

    def output_tokens(self, expected: float) -> float:
        """Tokens to expect when a target's answers have ``expected`` on average."""
        bound = self.max_output_tokens
        return expected if bound is None else min(expected, bound)


NO_NEEDS: Final = Needs()


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants what. Admission adds the caller, data-prep the rest; nothing changes it later."""

    id: str
    decision_id: str
    endpoint: Endpoint
    headers: Mapping[str, str]
    started: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)

    caller: Caller | None = None
    priority: Priority = Priority.STANDARD

    model: str = AUTO
    route: str = AUTO
    """What ``model`` is counted under: an alias without its pin, a virtual model's own name. Unlike
    names that fit a glob there are only as many of these as are configured."""
    body: dict[str, Any] = field(default_factory=dict)
    body_bytes: int = 0
    """Size of the body as it came; the prompt has no more tokens than that."""
    stream: bool = False
    hints: Hints = NO_HINTS
    needs: Needs = NO_NEEDS
    text: str = ""
    """The newest user text in one spelling, for whoever recognises something in it."""
    removed: tuple[str, ...] = ()
    """What no model gets of it, in words: characters that only hide something."""
    turns: tuple[str, ...] = ()
    """The same of the newest user texts, a turn each, oldest first."""
    texts: tuple[Text, ...] = ()
    """Every text of the body, in its order."""
    surveyed: Mapping[str, Any] = field(default_factory=dict)
    """The body that has no more than ``texts``: as it was before a rule told the model something.
    Empty where a part of it is given as numbers."""
    entities: frozenset[str] = frozenset()
    """The kinds of personal data and secrets in them, as far as their form gives them away."""
    names: tuple[str, ...] = ()
    """Its keys, ids and words of the protocol that are not plainly one (``wire.names``)."""
    named: frozenset[str] = frozenset()
    """The kinds of personal data in these: there they cannot be replaced."""

    @property
    def tenant(self) -> str:
        """The caller's; empty before somebody was identified."""
        return "" if self.caller is None else self.caller.tenant

    @property
    def subjects(self) -> frozenset[str]:
        """The person whose data it carries, by each name that the client or its token gave."""
        return frozenset(self._told())

    @property
    def subject(self) -> str:
        """The one of ``subjects`` that rules are asked about; empty without any.

        What a token says of its holder is proven, and goes before what a client says.
        """
        return next(self._told(), "")

    def _told(self) -> Iterator[str]:
        about = self.body.get("metadata")
        told = [None if self.caller is None else self.caller.subject]
        told += [self.headers.get(SUBJECT_HEADER), self.hints.subject]
        told += [self.body.get(name) for name in _SUBJECT_FIELDS]
        told.append(about.get("user_id") if isinstance(about, dict) else None)
        return (name for name in told if isinstance(name, str) and name)


# What was decided


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked, as far as it was recognised."""

    name: str | None = None
    confidence: float | None = None
    """0 to 1; None when nothing was classified."""
    alias: str | None = None
    source: str | None = None
    """``pinned`` by the client, a ``keyword`` rule, or the ``model``."""
    out_of_scope: bool = False
    """The model read the text and found none of the declared intents."""
    posterior: Mapping[str, float] = field(default_factory=dict)
    """The model's most probable intents, best first."""
    model: str = ""
    """Version of the intent model that decided."""
    language: str = ""
    """Of the text that was read, as BCP 47 has it; empty when the model read nothing."""
    also: tuple[str, ...] = ()
    """What was recognised beside a name that the client stated: rules hold for both."""
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """What the text means, where the encoder had to read it: it is read once for everybody."""

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Of intents; what is missing to 1 belongs to none of them."""
        if self.out_of_scope:
            return {}
        if self.posterior:
            return self.posterior
        if self.name is None:
            return {}
        return {self.name: 1.0 if self.confidence is None else self.confidence}


NOT_READ: Final = Intent()
"""What nothing was recognised in, or nobody looked at."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to answer: a target that was considered."""

    target: str
    """``base``, ``adapter:<alias>@<digest12>`` or ``frontier:<provider>/<model>``."""
    engine_name: str | None = None
    """What the local engine calls it; None for a frontier."""
    allowed: bool = True
    reason: str = ""
    code: str = ""
    """Why it is where it is, for programs; ``docs/routing.md`` lists the codes."""
    rank: int | None = None
    """1 is asked first; None for what may not be asked."""
    cost_usd: float | None = None
    """Expected cost of the answer; None where no price is known."""
    quality: float | None = None
    """Expected probability that the answer is good, 0 to 1."""
    prior: str = ""
    """What was believed about the quality before answers were judged, and where that comes from."""
    difficulty: str = ""
    """How much harder or easier this request is for it than its usual one; empty: nobody knows."""
    price: Price = FREE
    """Of a local target's tokens when this was decided; it holds until the request is settled."""
    affinity: str | None = None
    """Who likes to come back to the same replica: the session, whose prefix is cached there."""

    @property
    def is_local(self) -> bool:
        """Whether the engine's replicas answer."""
        return self.engine_name is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What may answer, in which order, and why. Replaced as a whole until a target is asked."""

    table: RoutingTable
    """The routing table as it was when the request was read: kept to the last byte (law 1)."""
    intent: Intent = NOT_READ
    collections: tuple[str, ...] = ()
    """Of documents that the answer may draw on."""
    difficulty: Hardness = NOT_JUDGED
    """How hard the request is, for each target of which something was learned."""
    policy_version: str = ""
    ruling: Ruling = NO_RULING
    """What the rules file says about it."""
    applied: tuple[str, ...] = ()
    """Ids of the rules that applied, those that struck targets out included."""
    options: tuple[Option, ...] = ()
    """Everybody who was considered: those that may be asked first, best first."""
    how: str = "none"
    """``named``, ``ranked``, ``session``, ``explored``, or a virtual model's strategy."""
    route: str = ""
    """The name of the route whose settings applied; empty for the default one."""
    risk: float | None = None
    """The route's bound on the expected error."""
    worth_usd: float | None = None
    """What the route says that a good answer is worth."""
    wanted: str | None = None
    """The target that would have been asked first, had an engine held it."""
    tariff: Tariff = NO_TARIFF
    """What local tokens cost this request."""
    claims: Mapping[str, list[str]] = field(default_factory=dict)
    """The adapters that were considered, by alias, with the intents that they are for."""
    gates: Mapping[str, GateResult] = field(default_factory=dict)
    """What gates found about them, by target, as far as it is about this request's intents."""
    probe: Mapping[str, Any] | None = None
    """Fields that a local target's call gets so that its answer can be judged."""
    judging: Mapping[str, Any] | None = None
    """By what local answers will be judged, as records say it; None: they are not."""
    unjudged: str | None = None
    """Why a local answer is not judged although its route wants it; None: it is, or need not be."""
    shadow: Option | None = None
    """The candidate that will answer in secret, when this request was sampled."""
    unheard: tuple[str, ...] = ()
    """Wishes of the client that are not followed, by name, with the reason in brackets."""

    @property
    def first(self) -> Option | None:
        """Who is to be asked first; None: nobody may answer."""
        found = self.options[0] if self.options else None
        return found if found is not None and found.allowed else None


def _parts(record: type[Request | Decision]) -> tuple[attrgetter[Any], dict[str, int]]:
    """Reads all fields at once; and where each of them is among these."""
    names = [each.name for each in fields(record)]
    return attrgetter(*names), {name: place for place, name in enumerate(names)}


_PARTS: Final = {Request: _parts(Request), Decision: _parts(Decision)}
_Record = TypeVar("_Record", Request, Decision)


def changed(record: _Record, **changes: Any) -> _Record:
    """The same with other values: as ``dataclasses.replace``, at a third of its cost.

    Raises ``KeyError`` for a name that is no field.
    """
    read, places = _PARTS[type(record)]
    values = list(read(record))
    for name, value in changes.items():
        values[places[name]] = value
    return type(record)(*values)


def digest(text: str) -> str:
    """What stands for a client's text in records: equal texts can be recognised, not read.

    A digest is its own digest, so that a replay decides as the router did.
    """
    if _DIGEST.fullmatch(text):
        return text
    return "#" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
