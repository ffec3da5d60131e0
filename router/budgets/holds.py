"""What one request has set aside, from its first attempt to its settlement, and how it is counted.

The worst case of a prompt rests on this: every token of a byte-level tokenizer covers at least one
byte, and what a chat template adds per message is shorter than the JSON around that message. The
worst case of an answer is the bound that the client gave, or else the target's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.budgets.accounts import NANO, BudgetAccount, Metric
from router.budgets.leased import LeasedLimit, LeasedLimits, LimitScope
from router.budgets.lessee import Lessee
from router.config.budgets import BudgetsConfig, Window
from router.delivery import NOT_BILLED, Attempt
from router.errors import BudgetExceeded
from router.exchange import Exchange, Rate
from router.request import Option, Request
from router.targets.directory import Catalog
from router.wire.endpoint import Usage
from router.wire.formats import FORMATS

TEMPLATE_TOKENS = 64
"""What a target may put around a conversation as a whole."""
TOOL_TOKENS = 1024
"""What a target may add to explain the use of tools."""
TYPICAL_BYTES_PER_TOKEN = 3
"""For estimates, on the dear side: English has about four, most other scripts three."""
TYPICAL_ANSWER_TOKENS = 512
"""For estimates, when the client set no bound."""
TYPICAL_IMAGE_TOKENS = 1024
"""For estimates: a picture of medium size."""
_UNKNOWN_WINDOW = 1_048_576
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CLIENTS_TOOLS = frozenset({"function", "custom"})
"""Tools that the client runs. What a provider's own find, it adds to the prompt by itself."""
_PLAIN_PARTS = (
    frozenset({"message", "text", "input_text", "output_text", "refusal", "input_audio"})
    | {"image", "image_url", "input_image", "base64", "url"}
    | {"thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"}
    | {"function", "function_call", "function_call_output"}
    | {"custom", "custom_tool_call", "custom_tool_call_output", "tool_use", "tool_result"}
)
"""Items and parts whose bytes are in the body, and no fewer than their tokens; images apart."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens, and money in billionths of a dollar."""

    tokens: int
    nano: int


class Bounds:
    """Worst cases of calls."""

    def __init__(self, catalog: Catalog, config: BudgetsConfig) -> None:
        self._catalog = catalog
        self._config = config

    def prompt(self, exchange: Exchange) -> int:
        """The most tokens that the prompt can have."""
        needs, body = exchange.request.needs, exchange.request.body
        is_kept = "stored" in needs.features
        if is_kept or not needs.parts <= _PLAIN_PARTS or _uses_others_tools(body):
            return _UNKNOWN_WINDOW
        size = max(exchange.request.body_bytes - needs.inline_bytes, 0)
        size += exchange.delivery.drawn_bytes
        tokens = math.ceil(size / self._config.bytes_per_token) + TEMPLATE_TOKENS
        if exchange.request.body.get("tools"):
            tokens += TOOL_TOKENS
        return tokens + needs.images * self._config.tokens_per_image

    def attempt(self, exchange: Exchange, option: Option, prompt: int) -> Amount:
        """The most that one attempt can use."""
        window, longest = limits_of(self._catalog, exchange, option)
        wire, body = FORMATS[exchange.request.endpoint], exchange.request.body
        if not wire.takes_many:  # else the sum of the prompts may exceed a window
            prompt = min(prompt, window)
        output = 0
        if wire.generates:
            output = min(_asked(body, longest), longest) * wire.answers(body)
        fresh = self._catalog.cost_usd(option, Usage(prompt, output, 0))
        cached = self._catalog.cost_usd(option, Usage(prompt, output, prompt))
        return Amount(prompt + output, to_nano(max(fresh, cached)))


def limits_of(catalog: Catalog, exchange: Exchange, option: Option) -> tuple[int, int]:
    """Context window and longest answer of a target, tokens."""
    if option.is_local:
        window = exchange.decision.table.max_model_len or _UNKNOWN_WINDOW
        return window, window
    card = catalog.frontier(option).card
    return card.context_window, card.max_output_tokens


def to_nano(usd: float) -> int:
    """Billionths of a dollar, rounded up: a sum never shows less than was spent."""
    return math.ceil(round(usd * NANO, 3))


def fill_in(catalog: Catalog, exchange: Exchange, attempt: Attempt) -> Usage:
    """What an attempt used: as the target told it, else as an estimate (``attempt.estimated``).

    Nothing is billed for an attempt that was refused or never reached its target. An attempt that
    was cut, cancelled or timed out without counts is billed for its prompt and for what had been
    streamed; when the answer was not to be streamed, for as much as the client allowed and the
    target can, because it may have written it all before it was told to stop.
    """
    counted = attempt.usage
    if counted.input_tokens is not None and counted.output_tokens is not None:
        return counted
    if not attempt.streamed and attempt.outcome.startswith(NOT_BILLED):
        return Usage(0, 0)
    attempt.estimated = True
    window, longest = limits_of(catalog, exchange, attempt.option)
    wire, body = FORMATS[exchange.request.endpoint], exchange.request.body
    prompt = counted.input_tokens
    if prompt is None:
        prompt = _typical_prompt(exchange, attempt.option)
        prompt = prompt if wire.takes_many else min(prompt, window)
    output = max(counted.output_tokens or 0, attempt.streamed)
    if not exchange.request.stream and wire.generates:
        allowed = min(_asked(body, TYPICAL_ANSWER_TOKENS), longest)
        output = max(output, allowed * wire.answers(body))
    return Usage(prompt, output, counted.cached_input_tokens, counted.told_usd)


def _typical_prompt(exchange: Exchange, option: Option) -> int:
    """Tokens that the prompt of a target probably had."""
    request, needs = exchange.request, exchange.request.needs
    # A file's text is about as long as the file; a picture's tokens have nothing to do with it.
    pictures = needs.inline_bytes if needs.parts <= _PLAIN_PARTS else 0
    size = max(request.body_bytes - pictures, 0) + exchange.stitched(option).size
    return math.ceil(size / TYPICAL_BYTES_PER_TOKEN) + needs.images * TYPICAL_IMAGE_TOKENS


def _asked(body: dict[str, Any], otherwise: int) -> int:
    """The client's own bound on the answer; the largest, should it give several."""
    found = [body[name] for name in _BOUNDS if name in body]
    numbers = [n for n in found if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return max(numbers) if numbers else otherwise


def _uses_others_tools(body: dict[str, Any]) -> bool:
    """Whether the prompt will have more than the body shows: what a provider's tools find."""
    tools = body.get("tools")
    kinds = {
        str(tool.get("type", "function"))
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict)
    }
    return not kinds <= _CLIENTS_TOOLS


_ROUNDS = 4
"""How often a request asks for more before it gives way to others that took it."""
_SOON_S = 1.0
"""When requests under way hold what is missing, they give some of it back soon."""
_Need = list[tuple[LeasedLimit, int]]


class Budgets:
    """Sets aside and settles; shared by all requests of one router."""

    def __init__(
        self,
        config: BudgetsConfig,
        bounds: Bounds,
        leased_limits: LeasedLimits,
        lessee: Lessee,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._bounds = bounds
        self._leased_limits = leased_limits
        self._lessee = lessee
        self._clock = clock
        self.refused = 0
        """Requests that a budget did not cover."""
        self.overrun_nano = 0
        """Money that targets used above their own bounds, billionths of a dollar."""

    async def open(self, exchange: Exchange) -> None:
        """Count the request and give it a hold. Raises ``BudgetExceeded`` or ``Overloaded``."""
        if not self._config.limits:
            return
        scope = self._leased_limits.scope(exchange.request)
        try:
            await self.take([(leased, 1) for leased in scope.requests])
        finally:
            self._show(exchange, scope)
        exchange.account.holds(RequestHold(self, scope, self._bounds))

    def left_usd(self, request: Request) -> float | None:
        """What the caller's budgets have left, as far as this router knows; None: no limit."""
        if not self._config.limits:
            return None
        money = self._leased_limits.scope(request).money
        return min(leased.remaining for leased in money) / NANO if money else None

    async def take(self, need: _Need) -> None:
        """Set all amounts aside, or none. Raises ``BudgetExceeded``."""
        for _ in range(_ROUNDS):
            short = [(leased, amount) for leased, amount in need if leased.left < amount]
            if not short:
                break
            reached = await self._lessee.more(short)
            short = [(leased, amount) for leased, amount in need if leased.left < amount]
            if short and not reached:
                self._refuse_unless_allowed(short)
                break
            if any(leased.free is not None and leased.free <= 0 for leased, _ in short):
                self._refuse(short)
        else:
            if short := [(leased, amount) for leased, amount in need if leased.left < amount]:
                self._refuse(short)
        for leased, amount in need:
            leased.hold(amount)

    def _refuse_unless_allowed(self, short: _Need) -> None:
        allowed = self._config.when_unreachable
        policy = {Metric.REQUESTS: allowed.requests, Metric.TOKENS: allowed.tokens}
        closed = [p for p, _ in short if policy.get(p.account.metric, "refuse") == "refuse"]
        if closed:
            self.refused += 1
            error = BudgetExceeded(
                f"The budget {closed[0].account.budget!r} cannot be checked: the registry does "
                "not answer, and what this router held of it is used up.",
                code="budget_unreachable",
                retry_after_s=_SOON_S,
            )
            error.status, error.type = 503, "server_error"
            raise error

    def _refuse(self, short: _Need) -> None:
        self.refused += 1
        raise _exceeded(*short[0], self._clock())

    def _show(self, exchange: Exchange, scope: LimitScope) -> None:
        """Rate-limit headers: of the budget with the least left."""
        now = self._clock()
        if scope.requests:
            least = min(scope.requests, key=lambda leased: leased.remaining)
            exchange.account.limited(
                Rate(least.account.limit, least.remaining, _resets_in(least.account, now))
            )
        if scope.tokens:
            least = min(scope.tokens, key=lambda leased: leased.remaining)
            exchange.account.tells(
                {
                    "x-ratelimit-limit-tokens": str(least.account.limit),
                    "x-ratelimit-remaining-tokens": str(least.remaining),
                    "x-ratelimit-reset-tokens": f"{_resets_in(least.account, now):.0f}s",
                }
            )

    async def aclose(self) -> None:
        """Give back what is not used up."""
        if self._config.limits:
            await self._lessee.aclose()


class RequestHold:
    """One request's part of its limits."""

    __slots__ = ("_bounds", "_budgets", "_held", "_scope", "_settled")

    def __init__(self, budgets: Budgets, scope: LimitScope, bounds: Bounds) -> None:
        self._budgets = budgets
        self._scope = scope
        self._bounds = bounds
        self._held = Amount(0, 0)
        self._settled = False

    async def cover(self, exchange: Exchange, option: Option) -> None:
        """Set the worst case of one more attempt aside. Raises ``BudgetExceeded``."""
        scope = self._scope
        if not scope.tokens and not scope.money:
            return
        # Each time anew: what is asked for once more, with the reason, is longer than it was.
        prompt = self._bounds.prompt(exchange)
        # Who continues a broken stream is sent what the other wrote as part of the prompt.
        begun = any(attempt.streamed for attempt in exchange.delivery.attempts)
        prompt += self._held.tokens if begun else 0
        worst = self._bounds.attempt(exchange, option, prompt)
        need = [(leased, worst.tokens) for leased in scope.tokens]
        if worst.nano:
            need += [(leased, worst.nano) for leased in scope.money]
        await self._budgets.take(need)
        self._held = Amount(self._held.tokens + worst.tokens, self._held.nano + worst.nano)

    def settle(self, tokens: int, cost_usd: float) -> None:
        """Book what was used in place of what was set aside; idempotent."""
        if self._settled:
            return
        self._settled = True
        nano = to_nano(cost_usd)
        self._budgets.overrun_nano += max(0, nano - self._held.nano)
        _book(self._scope.requests, 1, 1)
        _book(self._scope.tokens, self._held.tokens, tokens)
        _book(self._scope.money, self._held.nano, nano)


def _book(leased_limits: Sequence[LeasedLimit], held: int, used: int) -> None:
    for leased in leased_limits:
        leased.settle(held, used)


def _exceeded(leased: LeasedLimit, amount: int, now: float) -> BudgetExceeded:
    account = leased.account
    need, limit = _said(account, amount), _said(account, account.limit)
    which = f"The budget {account.budget!r} allows {limit} per {account.window.value}"
    if account.window is Window.TOTAL:
        which = f"The budget {account.budget!r} allows {limit} in total"
    if amount > account.limit:
        error = BudgetExceeded(
            f"{which}, and this request may need {need}; ask for fewer tokens (max_tokens)."
        )
    else:
        until, retry_after_s = _when(leased, amount, now)
        error = BudgetExceeded(
            f"{which}, and what is left does not cover this request ({need} at most); {until}.",
            retry_after_s=retry_after_s,
        )
    if account.metric is not Metric.MONEY:
        error.type, error.code = "rate_limit_error", "rate_limit_exceeded"
    if account.window is Window.TOTAL:
        error.type = error.code = "insufficient_quota"
    return error


def _when(leased: LeasedLimit, amount: int, now: float) -> tuple[str, float | None]:
    """In words and seconds, when there may be enough again."""
    account = leased.account
    used = max(leased.used, leased.spent)
    if account.metric is Metric.REQUESTS:  # what is set aside of these never comes back
        used += leased.held
    if used + amount <= account.limit:
        return "requests under way hold the rest, try again in a moment", _SOON_S
    if account.ends is None:
        return "it never starts anew", None
    resets = _resets_in(account, now)
    return f"it starts anew in {resets:.0f} s", resets


def _said(account: BudgetAccount, amount: int) -> str:
    if account.metric is Metric.MONEY:
        return f"{amount / NANO:.6f}".rstrip("0").rstrip(".") + " US dollars"
    return f"{amount} {account.metric.value}"


def _resets_in(account: BudgetAccount, now: float) -> float:
    return 0.0 if account.ends is None else max(0.0, account.ends - now)
