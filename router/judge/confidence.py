"""Is a local answer good enough to go out, or must a better target be asked?

A route with a ``confidence`` section has the answers of local targets judged by their tokens'
probabilities: a whole answer when it is there, a stream by its first tokens before its first byte
goes out, or held back to its end. Where it falls short of the route's standard
(``router.judge.standard``) the next better permitted target is asked; the first answer is kept
until that one has begun, and goes out when it cannot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from router.config.routing import RoutingConfig
from router.delivery import ESCALATED, Assurance, Attempt, Outgoing
from router.errors import RouterError
from router.exchange import Exchange
from router.judge.calibration import Calibration, pooled
from router.judge.standard import Judging, Standard, judging
from router.judge.watched import WatchedAnswer
from router.request import NO_INTENT, Decision, Option, Request, changed
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
        by = self._by(decision)
        if by is None:
            return decision
        decision = changed(decision, judging=by.record(decision.options))
        unjudged = _VLLM.unable_to_tell(request.endpoint, request.body)
        if unjudged is not None:
            return changed(decision, unjudged=unjudged)
        return changed(decision, probe=_VLLM.probe(request.endpoint, request.body))

    def _by(self, decision: Decision) -> Judging | None:
        return judging(self._routes, decision.route)

    async def examine(self, exchange: Exchange, answer: Outgoing) -> JudgedAnswer:
        """Read as much as the route says, and judge it."""
        by, chosen = self._by(exchange.decision), exchange.chosen
        exchange.account.answers(answer.usage)
        if by is None or chosen is None or not chosen.is_local:
            return JudgedAnswer(answer, good=True)
        if exchange.decision.unjudged is not None:
            return JudgedAnswer(answer, good=True)
        wire = FORMATS[exchange.request.endpoint]
        watched = WatchedAnswer(answer, wire, strip=exchange.decision.probe is not None)
        exchange.delivery.opens(watched)
        with exchange.account.stages.waiting():
            if not watched.is_stream or by.config.stream == "hold":
                await watched.read(None, None)
            else:
                await watched.read(by.config.first_tokens, by.config.deadline_s)
        return self._judge(exchange, watched, by)

    def _judge(self, exchange: Exchange, watched: WatchedAnswer, by: Judging) -> JudgedAnswer:
        features, option = watched.features, exchange.chosen
        if features is None or option is None:  # nothing was said that could be judged
            exchange.delivery.not_judged("no probabilities were told in time")
            return JudgedAnswer(watched, good=True)
        standard, expected = by.standard, option.quality
        intent = exchange.decision.intent.name or NO_INTENT
        probability, calibrated = self._calibration.probability(
            intent, option.target, features, expected
        )
        if standard.by == "worth" and not calibrated:
            probability = pooled(probability, expected)
        open_to = _open(exchange)
        exchange.delivery.judge(
            Assurance(
                option.target,
                features.tokens,
                features.mean,
                features.minimum,
                features.entropy,
                probability,
                calibrated,
                expected,
                standard.highest_bar(option, open_to),
            )
        )
        short = _short(standard, option, probability, open_to)
        if short is not None:
            exchange.delivery.ask_for_review(short)
        attempt = exchange.delivery.attempts[-1] if exchange.delivery.attempts else None
        return JudgedAnswer(watched, short is None, option, attempt, features.tokens, probability)

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
        """Give up everybody who is not better; whether anybody is left."""
        asked, by = judged.option, self._by(exchange.decision)
        if asked is None or by is None:
            return False
        remedies = by.standard.remedies(asked, judged.probability, _open(exchange))
        kept = {option.target for option in remedies}
        judged.passed_over.update(
            option.target for option in exchange.decision.options if option.target not in kept
        )
        if kept:
            judged.passed_over.difference_update(exchange.delivery.given_up)
            exchange.delivery.give_up(judged.passed_over)
        return bool(kept)


def _open(exchange: Exchange) -> list[Option]:
    """Who may still be asked, and is not too dear after what was spent."""
    limit, given_up = exchange.request.hints.max_cost_usd, exchange.delivery.given_up
    spent = sum(attempt.option.cost_usd or 0.0 for attempt in exchange.delivery.attempts)
    return [
        option
        for option in exchange.decision.options
        if option.allowed
        and option.target not in given_up
        and (limit is None or spent + (option.cost_usd or 0.0) <= limit)
    ]


def _short(
    standard: Standard, asked: Option, probability: float, open_to: list[Option]
) -> str | None:
    """Why the answer falls short of what its route demands; None: it does not."""
    if standard.threshold is not None:
        if probability >= standard.threshold:
            return None
        return f"P(correct) of {asked.target} is {probability:.3f}, below {standard.threshold:.3f}"
    remedies = standard.remedies(asked, probability, open_to)
    if not remedies:
        return None
    first = remedies[0]
    return (
        f"P(correct) of {asked.target} is {probability:.3f}, below the {standard.bar(first):.3f} "
        f"under which {first.target} is worth its {first.cost_usd or 0.0:.6f} USD"
    )
