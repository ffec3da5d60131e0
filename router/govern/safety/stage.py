"""Safety on the request path: prompts before anybody is asked, topics, tools' results, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.config.safety import SafetyAction, SafetyConfig
from router.embed.threads import Threads
from router.errors import RouterError
from router.exchange import Exchange
from router.govern.safety.answers import ClassifiedAnswer, Found, GuardedAnswer
from router.govern.safety.checks import (
    HARM,
    INJECTION,
    Case,
    Check,
    Finding,
    Passage,
    Source,
    Turn,
)
from router.govern.safety.guard import Guard
from router.govern.safety.local import Classifier
from router.govern.safety.metrics import SafetyMetrics
from router.govern.safety.topics import Topics
from router.govern.window import OutputCheck, Violation
from router.request import NO_INTENT, Request
from router.wire.formats import FORMATS
from router.wire.kinds import Kind
from router.wire.texts import Text

HEADER: Final = "x-graftwork-safety"
PASSED: Final = "passed"
_TOLD: Final = {
    HARM: "it asks for help in hurting somebody",
    INJECTION: "it tells the model to disregard its instructions",
}
_READ: Final = frozenset({Kind.TEXT, Kind.ARGUMENTS, Kind.OPAQUE, Kind.FILE_NAME})


class ContentRefused(RouterError):
    """What was asked must not be answered."""

    status = 403
    type = "invalid_request_error"
    code = "content_policy_violation"


class Safety:
    """What may be asked and answered.

    Args:
        config: what becomes of findings.
        rules: signs that need no model.
        classifier: the local one.
        guard: a guard model, if one is configured.
        topics: what is off limits.
        metrics: count findings.
        threads: where the checks do what takes long; closed with this.
    """

    def __init__(
        self,
        config: SafetyConfig,
        rules: Check,
        classifier: Classifier,
        guard: Guard | None,
        topics: Topics,
        metrics: SafetyMetrics,
        threads: Threads,
    ) -> None:
        self._config = config
        self._local = (rules, classifier)
        self._classifier = classifier
        self._guard = guard
        self._topics = topics
        self._metrics = metrics
        self._threads = threads

    async def warm(self) -> None:
        """Load what the first request would wait for. Raises ``GuardUnavailable``."""
        if self._config.enabled:
            await self._classifier.warm()

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.close()

    # Prompts

    async def inbound(self, exchange: Exchange, *, only_asks: bool) -> None:
        """Judge a request before anybody is asked.

        Args:
            exchange: the request.
            only_asks: nobody is called for it, a guard neither.

        Raises:
            ContentRefused: something was found that must not pass.
            GuardUnavailable: a check cannot say.
        """
        request = exchange.request
        if not self._config.enabled or not FORMATS[request.endpoint].generates:
            return
        case = Case(passages(request.texts), turns(request), request)
        findings: list[Finding] = []
        for check in self._local:
            findings += await check.judge(case)
        if self._guard is not None and not only_asks and not self._refuses(findings):
            findings += await self._guard.judge(case)
        self._settle(exchange, findings)

    async def on_route(self, exchange: Exchange) -> None:
        """Refuse topics that are off limits for the intent. Raises as ``inbound`` does."""
        request = exchange.request
        if not self._config.enabled or not self._config.topics:
            return
        route = exchange.decision.intent.name or NO_INTENT
        topic = await self._topics.about(request.turns, route)
        if topic is None:
            return
        finding = Finding("topic", topic.name, Source.USER)
        self._note(exchange, [finding], refused=True)
        raise ContentRefused(topic.message or f"The topic {topic.name!r} is off limits here.")

    def _settle(self, exchange: Exchange, findings: Sequence[Finding]) -> None:
        refused = self._refuses(findings)
        self._note(exchange, findings, refused=refused)
        if refused:
            worst = next(each for each in findings if self._action(each) is SafetyAction.BLOCK)
            raise ContentRefused(_message(worst))

    def _refuses(self, findings: Sequence[Finding]) -> bool:
        return any(self._action(each) is SafetyAction.BLOCK for each in findings)

    def _action(self, finding: Finding) -> SafetyAction:
        if finding.check in ("guard", "topic"):
            return SafetyAction.BLOCK
        if finding.source is Source.UNTRUSTED:
            return self._config.untrusted
        if finding.source is Source.ANSWER:
            return self._config.answers
        return self._config.harm if finding.category == HARM else self._config.injection

    def _note(self, exchange: Exchange, findings: Sequence[Finding], *, refused: bool) -> None:
        told = [each for each in findings if self._action(each) is not SafetyAction.OFF]
        for finding in told:
            self._metrics.found(finding, refused=refused)
        names = ",".join(dict.fromkeys(each.category for each in told))
        known = exchange.account.headers.get(HEADER, PASSED)
        if not told:
            exchange.account.tells({HEADER: known})
            return
        effect = "blocked" if refused else "flagged"
        exchange.account.tells({HEADER: f"{effect}: {names}"})
        for each in told:
            exchange.delivery.finds(_recorded(each, effect))

    # What nobody vouches for

    async def check_untrusted(self, texts: Sequence[str]) -> list[str | None]:
        """For each text of a document, why it may not stand in a prompt, or None.

        One that may not holds orders for the model. Raises ``GuardUnavailable``.
        """
        if not self._config.enabled or self._config.untrusted is SafetyAction.OFF:
            return [None] * len(texts)
        return [await self._against(text) for text in texts]

    async def _against(self, text: str) -> str | None:
        case = Case([Passage(text, Source.UNTRUSTED)])
        found = [each for check in self._local for each in await check.judge(case)]
        refused = self._refuses(found)
        for each in found:
            self._metrics.found(each, refused=refused)
        return found[0].category if refused else None

    # Answers

    async def check_answer(self, text: str) -> tuple[str, ...]:
        """What local checks find in an answer that goes to nobody. Raises ``GuardUnavailable``."""
        if not self._config.enabled or self._config.answers is SafetyAction.OFF:
            return ()
        case = Case([Passage(text, Source.ANSWER)])
        found = [each for check in self._local for each in await check.judge(case)]
        return tuple(dict.fromkeys(each.category for each in found))

    def answer_checks(self, exchange: Exchange) -> list[OutputCheck]:
        """What an answer has to pass on its way out."""
        config, request = self._config, exchange.request
        if not config.enabled or not FORMATS[request.endpoint].generates:
            return []
        found = self._outbound(exchange)
        checks: list[OutputCheck] = []
        # What is asked says best what the answer is about: without a doubt about it, there is none.
        if config.answers is not SafetyAction.OFF and self._classifier.in_doubt(
            passages(request.texts)
        ):
            checks.append(ClassifiedAnswer(self._classifier, found))
        if self._guard is not None and config.guard is not None and config.guard.output:
            window = config.guard.window_chars
            checks.append(GuardedAnswer(self._guard, found, request, turns(request), window))
        return checks

    def _outbound(self, exchange: Exchange) -> Found:
        def found(findings: Sequence[Finding]) -> None:
            refused = self._refuses(findings)
            self._note(exchange, findings, refused=refused)
            if refused:
                raise Violation(
                    "The answer was stopped: it breaks the content policy.",
                    reason="Your answer broke the content policy. Answer without harmful content.",
                )

        return found


def passages(texts: Sequence[Text]) -> list[Passage]:
    """What of a request is judged, and as what: what users typed and what tools found.

    System prompts are the application's own, and the assistant's turns were judged as answers.
    """
    found: list[Passage] = []
    for text in texts:
        if text.kind is Kind.RESULT or text.role in ("tool", "function"):
            found.append(Passage(text.text, Source.UNTRUSTED))
        elif text.role == "user" and text.kind in _READ:
            found.append(Passage(text.text, Source.USER))
    return [each for each in found if each.text]


def turns(request: Request) -> list[Turn]:
    """The conversation as a guard reads it."""
    found: list[Turn] = []
    for text in request.texts:
        if text.kind is not Kind.TEXT or text.role not in ("user", "assistant") or not text.text:
            continue
        if found and found[-1].role == text.role:
            found[-1] = Turn(text.role, f"{found[-1].text}\n{text.text}")
        else:
            found.append(Turn(text.role, text.text))
    return found


def _message(finding: Finding) -> str:
    if finding.source is Source.UNTRUSTED:
        return "A tool's result in the request holds orders for the model; it was not sent."
    told = _TOLD.get(finding.category, f"its content counts as {finding.category}")
    return f"The request was refused: {told}."


def _recorded(finding: Finding, effect: str) -> dict[str, Any]:
    return {
        "check": finding.check,
        "category": finding.category,
        "in": finding.source.value,
        "score": round(finding.score, 4),
        "effect": effect,
    }
