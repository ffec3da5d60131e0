"""How much a call may use at most, and about how much it used when the target does not say.

The worst case of a prompt rests on this: every token of a byte-level tokenizer covers at least one
byte, and what a chat template adds per message is shorter than the JSON around that message. The
worst case of an answer is the bound that the client gave, or else the target's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from router.budgets.accounts import NANO
from router.config.budgets import BudgetsConfig
from router.exchange import NOT_BILLED, Attempt, Exchange
from router.request import Option
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
        tokens = math.ceil(size / self._config.bytes_per_token) + TEMPLATE_TOKENS
        if exchange.request.body.get("tools"):
            tokens += TOOL_TOKENS
        return tokens + needs.images * self._config.tokens_per_image

    def attempt(self, exchange: Exchange, option: Option, prompt: int) -> Amount:
        """The most that one attempt can use."""
        window, longest = self._limits(exchange, option)
        wire, body = FORMATS[exchange.request.endpoint], exchange.request.body
        if not wire.takes_many:  # else the sum of the prompts may exceed a window
            prompt = min(prompt, window)
        output = 0
        if wire.generates:
            output = min(_asked(body, longest), longest) * wire.answers(body)
        fresh = self._catalog.cost_usd(option, Usage(prompt, output, 0))
        cached = self._catalog.cost_usd(option, Usage(prompt, output, prompt))
        return Amount(prompt + output, to_nano(max(fresh, cached)))

    def _limits(self, exchange: Exchange, option: Option) -> tuple[int, int]:
        """Context window and longest answer of a target, tokens."""
        if option.is_local:
            window = exchange.decision.table.max_model_len or _UNKNOWN_WINDOW
            return window, window
        card = self._catalog.frontier(option).card
        return card.context_window, card.max_output_tokens


def to_nano(usd: float) -> int:
    """Billionths of a dollar, rounded up: a sum never shows less than was spent."""
    return math.ceil(round(usd * NANO, 3))


def fill_in(exchange: Exchange, attempt: Attempt) -> Usage:
    """What an attempt used: as the target told it, else as an estimate (``attempt.estimated``).

    Nothing is billed for an attempt that was refused or never reached its target. An attempt that
    was cut, cancelled or timed out without counts is billed for its prompt and for what had been
    streamed; when the answer was not to be streamed, for as much as the client allowed, because a
    target may have written it all before it was told to stop.
    """
    told = attempt.usage
    if told.input_tokens is not None and told.output_tokens is not None:
        attempt.estimated = False
        return told
    if not attempt.streamed and attempt.outcome.startswith(NOT_BILLED):
        return Usage(0, 0)
    attempt.estimated = True
    prompt = told.input_tokens
    if prompt is None:
        prompt = math.ceil(exchange.request.body_bytes / TYPICAL_BYTES_PER_TOKEN)
    output = max(told.output_tokens or 0, attempt.streamed)
    if not exchange.request.stream and FORMATS[exchange.request.endpoint].generates:
        output = max(output, _asked(exchange.request.body, TYPICAL_ANSWER_TOKENS))
    return Usage(prompt, output, told.cached_input_tokens)


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
