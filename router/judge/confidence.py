"""Is a local answer good enough to go out, or must a better target be asked?

A route with a ``confidence`` section has the answers of local targets judged by their tokens'
probabilities: a whole answer when it is there, a stream by its first tokens before its first byte
goes out, or held back to its end. Below the threshold the next better permitted target is asked;
the first answer is kept until that one has begun, and goes out when it cannot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from router.config.routing import DEFAULT_ROUTE, ConfidenceConfig, RoutingConfig
from router.errors import RouterError
from router.exchange import ESCALATED, Assurance, Attempt, Exchange, Outgoing
from router.judge.calibration import Calibration
from router.judge.watched import WatchedAnswer
from router.request import NO_INTENT, Decision, Option, Request
from router.wire.dialects.vllm import DIALECT as _VLLM
from router.wire.formats import FORMATS

Ask = Callable[[Exchange], Awaitable[Outgoing]]
"""Asks the best target that is left."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """What is thought of an answer, and the answer itself, unchanged for the client."""

    answer: Outgoing
    good: bool
    option: Option | None = None
    attempt: Attempt | None = None
    tokens: int = 0
    probability: float = 1.0
    passed_over: set[str] = field(default_factory=set)
    """Targets that were given up for this answer's sake alone."""

    def restore(self, exchange: Exchange) -> None:
        """This answer goes out after all: nobody better could give one."""
        if self.attempt is not None:
            exchange.delivery.answered_by(self.attempt)
        exchange.account.answers(self.answer.usage)
        # They may still continue this answer, should it break.
        exchange.delivery.reconsider(self.passed_over)

    async def dismiss(self, exchange: Exchange) -> None:
        """End the answer, in whose place another one goes out; it stays on the bill."""
        attempt = self.attempt
        if attempt is not None and attempt.usage.output_tokens is None:
            # It was cut before it told: count what was seen, and the prompt as it was estimated.
            attempt.usage.output_tokens = self.tokens
            if attempt.usage.input_tokens is None:
                attempt.usage.input_tokens = exchange.request.needs.input_tokens
            attempt.estimated = True
        await self.answer.aclose()
        if attempt is not None:
            attempt.outcome = ESCALATED


class Judge:
    """Judges local answers where the route asks for it."""

    def __init__(self, config: RoutingConfig, calibration: Calibration) -> None:
        self._routes = config.routes
        self._calibration = calibration

    def prepare(self, request: Request, decision: Decision) -> Decision:
        """Have local targets tell the probabilities of their tokens, where they will be judged."""
        if self._config(decision) is None:
            return decision
        unjudged = _VLLM.unable_to_tell(request.endpoint, request.body)
        if unjudged is not None:
            return replace(decision, unjudged=unjudged)
        return replace(decision, probe=_VLLM.probe(request.endpoint, request.body))

    def _config(self, decision: Decision) -> ConfidenceConfig | None:
        route = self._routes.get(decision.route or DEFAULT_ROUTE)
        return None if route is None else route.confidence

    async def examine(self, exchange: Exchange, answer: Outgoing) -> JudgedAnswer:
        """Read as much as the route says, and judge it."""
        config, chosen = self._config(exchange.decision), exchange.chosen
        exchange.account.answers(answer.usage)
        if config is None or chosen is None or not chosen.is_local:
            return JudgedAnswer(answer, good=True)
        if exchange.decision.unjudged is not None:
            return JudgedAnswer(answer, good=True)
        wire = FORMATS[exchange.request.endpoint]
        watched = WatchedAnswer(answer, wire, strip=exchange.decision.probe is not None)
        exchange.delivery.opens(watched)
        with exchange.waiting():
            if not watched.is_stream or config.stream == "hold":
                await watched.read(None, None)
            else:
                await watched.read(config.first_tokens, config.deadline_s)
        return self._judge(exchange, watched, config)

    def _judge(
        self, exchange: Exchange, watched: WatchedAnswer, config: ConfidenceConfig
    ) -> JudgedAnswer:
        features, option = watched.features, exchange.chosen
        if features is None or option is None:  # nothing was said that could be judged
            exchange.delivery.not_judged("no probabilities were told in time")
            return JudgedAnswer(watched, good=True)
        intent = exchange.decision.intent.name or NO_INTENT
        probability, calibrated = self._calibration.probability(intent, option.target, features)
        exchange.delivery.judge(
            Assurance(
                option.target,
                features.tokens,
                features.mean,
                features.minimum,
                features.entropy,
                probability,
                calibrated,
            )
        )
        good = config.threshold is None or probability >= config.threshold
        if not good:
            exchange.delivery.ask_for_review(
                f"P(correct) of {option.target} is {probability:.3f}, below {config.threshold:.3f}"
            )
        attempt = exchange.delivery.attempts[-1] if exchange.delivery.attempts else None
        return JudgedAnswer(watched, good, option, attempt, features.tokens, probability)

    async def escalate(self, exchange: Exchange, judged: JudgedAnswer, send: Ask) -> Outgoing:
        """Ask better targets while the answer is not good enough and one of them is left."""
        while not judged.good and self.leaves_better(exchange, judged):
            try:
                better = await send(exchange)
            except RouterError:
                judged.restore(exchange)
                break
            await judged.dismiss(exchange)
            judged = await self.examine(exchange, better)
        return judged.answer

    def leaves_better(self, exchange: Exchange, judged: JudgedAnswer) -> bool:
        """Give up everybody who is not better; whether anybody is left.

        Better is who is expected to be right more often than this answer is, and usually at least
        as often as who gave it: a weaker target is no remedy for a hard question. Nor is another
        version of the same adapter.
        """
        asked = judged.option
        if asked is None:
            return False
        limit = exchange.request.hints.max_cost_usd
        spent = sum(attempt.option.cost_usd or 0.0 for attempt in exchange.delivery.attempts)
        left = False
        for option in exchange.decision.options:
            quality = option.quality or 0.0
            better = quality >= (asked.quality or 0.0) and quality > judged.probability
            better = better and _kin(option) != _kin(asked)
            too_dear = limit is not None and spent + (option.cost_usd or 0.0) > limit
            if not better or too_dear:
                judged.passed_over.add(option.target)
            elif option.allowed and option.target not in exchange.delivery.given_up:
                left = True
        if left:
            judged.passed_over.difference_update(exchange.delivery.given_up)
            exchange.delivery.give_up(judged.passed_over)
        return left


def _kin(option: Option) -> str:
    """The target, for all versions of an adapter the same."""
    return option.target.partition("@")[0] if option.is_local else option.target
