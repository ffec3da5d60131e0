"""Policy, the stage: what the configuration's rules and the rules file say about one request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from router.config.auth import TrustConfig
from router.errors import Forbidden, ReviewPending
from router.exchange import Exchange
from router.policy.book import Asked
from router.policy.instruct import instructed
from router.policy.obligations import instruction
from router.policy.permission import Permission, PolicyBook
from router.policy.situation import Governed, Situation
from router.policy.source import InUse, PolicySource
from router.request import NO_INTENT, Caller, Decision, Request, changed
from router.ruling import Ruling

HEADER: Final = "x-graftwork-policy"
_MAX_HEADER: Final = 1000
"""Characters of a header that is a fact."""


class Trust:
    """Whose word counts. Callers of a process without keys are trusted with everything."""

    def __init__(self, config: TrustConfig) -> None:
        self._config = config

    def facts(self, request: Request) -> Mapping[str, Any]:
        """What its caller states, where that counts; a gateway's headers before the body."""
        if not _trusted(self._config.facts, request.caller):
            return {}
        found = dict(request.hints.facts)
        for header, fact in self._config.headers.items():
            if (value := request.headers.get(header)) is not None:
                found[fact] = value[:_MAX_HEADER]
        return found

    def intents(self, caller: Caller | None) -> bool:
        """Whether the intent that this caller states counts."""
        return _trusted(self._config.intents, caller)


def _trusted(names: tuple[str, ...], caller: Caller | None) -> bool:
    if caller is None:
        return False
    return caller.is_local or any(fnmatchcase(caller.name, each) for each in names)


class Permit:
    """What one request may be answered by: what every one of its intents permits, and the rules."""

    __slots__ = ("_asked", "_permissions", "tenant", "version")

    def __init__(self, permissions: tuple[Permission, ...], asked: Asked) -> None:
        first = permissions[0]
        self.tenant = first.tenant
        rules = asked.ruling.version
        self.version = f"{first.version}+{rules[:12]}" if rules else first.version
        self._permissions = permissions
        self._asked = asked

    @property
    def applied(self) -> tuple[str, ...]:
        """Ids of the rules that applied, those about targets included."""
        return self._asked.applied

    def why_not(self, card: Governed, cost_usd: float | None = None) -> str | None:
        """The reason why a target is forbidden; None when it is permitted."""
        for permission in self._permissions:
            why = permission.why_not(card)
            if why is not None:
                return why
        return self._asked.why_not(card, cost_usd)


class PolicyStage:
    """Asks both kinds of rules.

    Args:
        book: the configuration's.
        source: the rules file's, in whichever version holds.
        trust: whose word counts.
    """

    def __init__(self, book: PolicyBook, source: PolicySource, trust: Trust) -> None:
        self._book = book
        self._source = source
        self.trust = trust

    @property
    def reads_intents(self) -> bool:
        """Whether a rule is about intents: then requests for named models are read as well."""
        return self._book.reads_intents or self._source.reads_intents

    @property
    def reads_entities(self) -> bool:
        """Whether a rule is about the kinds of personal data in a request, names included."""
        return self._source.reads("entities")

    def judge(self, exchange: Exchange) -> Permit:
        """What may answer; the decision is given what the rules said.

        Raises ``Forbidden`` when nobody was identified, ``PolicyUnavailable``.
        """
        request, intent = exchange.request, exchange.decision.intent
        if request.caller is None:
            raise Forbidden("Nobody is authenticated.", code="policy_denied")
        in_use = self._source.current()
        intents = tuple(dict.fromkeys((intent.name or NO_INTENT, *intent.also)))
        permissions = tuple(self._book.permission(request.caller, each) for each in intents)
        asked = self._asked(exchange, in_use, intents)
        ruling = asked.ruling
        exchange.decision = changed(exchange.decision, ruling=ruling)
        if ruling.denied_by is None and (ruling.instructions or ruling.obligations):
            exchange.request = instructed(request, _said(ruling))
        return Permit(permissions, asked)

    def _asked(self, exchange: Exchange, in_use: InUse, intents: tuple[str, ...]) -> Asked:
        if not in_use.active.file.rules and in_use.shadow is None:
            return Asked(in_use.active.silent)
        situation = self._situation(exchange.request, exchange.decision, intents)
        asked = in_use.active.ask(situation)
        if in_use.shadow is not None:
            told = in_use.shadow.ask(situation).ruling
            self._source.differences.compare(exchange.request.decision_id, asked.ruling, told)
        return asked

    def _situation(
        self, request: Request, decision: Decision, intents: tuple[str, ...]
    ) -> Situation:
        caller = request.caller
        assert caller is not None
        return Situation(
            caller=caller.name,
            tenant=caller.tenant,
            intents=intents,
            confidence=decision.intent.confidence or 0.0,
            subject=request.subject if self._source.reads("subject") else "",
            facts=self.trust.facts(request),
            claims=caller.claims,
            entities=tuple(sorted(request.entities)),
            collections=decision.collections,
            at=datetime.fromtimestamp(request.at, UTC),
            request=_request(request) if self._source.reads("request") else {},
        )

    def enforce(self, exchange: Exchange, *, only_asks: bool) -> None:
        """What the rules say of the request as a whole.

        Raises:
            Forbidden: a rule denies it; with its reason.
            ReviewPending: a rule wants a person to look at it before anybody is asked.
        """
        ruling = exchange.decision.ruling
        if ruling.denied_by is not None:
            raise Forbidden(f"{ruling.reason} (rule {ruling.denied_by!r})", code="policy_denied")
        if ruling.review is None or only_asks:
            return
        rules = ", ".join(ruling.reviewed_for)
        exchange.delivery.ask_for_review(f"rule {rules}")
        review = self._source.reviews.want(exchange)
        if ruling.review == "before":
            raise ReviewPending(review, rules)


def _said(ruling: Ruling) -> list[str]:
    """What the model is told: the rules' own words, or else what it will be held to."""
    own = {rule for rule, _ in ruling.instructions}
    told = [text for _, text in ruling.instructions]
    return told + [instruction(each) for each in ruling.obligations if each.rule not in own]


def headers(applied: tuple[str, ...]) -> Mapping[str, str]:
    """What the client is told of the rules."""
    return {HEADER: ",".join(applied)} if applied else {}


def _request(request: Request) -> dict[str, Any]:
    needs = request.needs
    return {
        "model": request.model,
        "endpoint": request.endpoint.value,
        "stream": request.stream,
        "tools": "tools" in needs.features,
        "images": needs.images,
        "input_tokens": needs.input_tokens,
        "max_output_tokens": needs.max_output_tokens or 0,
        "priority": request.priority.value,
    }
