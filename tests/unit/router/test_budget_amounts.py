"""What is counted, in which window, and how much a call may use or did use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.budgets.accounts import Metric, accounts_of, window_at
from router.budgets.holds import Bounds, fill_in, to_nano
from router.config.budgets import BudgetConfig, BudgetsConfig, Window
from router.config.providers import ModelCard, ProviderConfig
from router.delivery import Attempt, Stitched
from router.errors import Failure
from router.exchange import Exchange
from router.prepare.parse import read_needs
from router.request import Option
from router.targets.directory import Catalog
from router.targets.frontier import frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint, Usage
from router.wire.texts import survey
from tests.fakes.exchanges import exchange, put

CARD = ModelCard(
    id="big",
    context_window=10_000,
    max_output_tokens=1000,
    input_usd_per_mtok=1.0,
    output_usd_per_mtok=10.0,
)
BIG = Option(target="frontier:cloud/big")


def catalog() -> Catalog:
    """One provider's model; nobody is called."""
    client = HttpClient()
    provider = ProviderConfig(name="cloud", base_url="http://127.0.0.1:9/v1", models=(CARD,))
    return Catalog(client, frontier_targets(client, [provider], {}))


def bounds(**config: Any) -> Bounds:
    """Bounds over it."""
    return Bounds(catalog(), BudgetsConfig(**config))


def asked(endpoint: Endpoint = Endpoint.CHAT, **body: Any) -> Exchange:
    """A request with this body, as it came in."""
    found = exchange(endpoint=endpoint)
    said = {"messages": [{"role": "user", "content": "hi"}], **body}
    return put(
        found,
        body=said,
        body_bytes=len(orjson.dumps(said)),
        stream=bool(body.get("stream")),
        needs=read_needs(said, survey(said)),
    )


@given(st.text(max_size=400), st.integers(0, 40))
def test_a_prompt_has_no_more_tokens_than_the_bound(text: str, messages: int) -> None:
    """Even when each byte is a token and each message costs a template's eight."""
    found = asked(messages=[{"role": "user", "content": text}] * messages)
    worst = messages * (len(text.encode()) + 8)
    assert bounds().prompt(found) >= worst


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, 1000),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_tokens": 5000}, 1000),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": True}, 1000),
        ({"max_tokens": 10, "prompt": ["a", "b"]}, 20),
        ({"max_tokens": 10, "prompt": [1, 2, 3]}, 10),
    ],
)
def test_the_longest_answer(body: dict[str, Any], output: int) -> None:
    """The client's bound, at most the target's own, for each answer that it wants."""
    found = asked(**body)
    amount = bounds().attempt(found, BIG, 100)
    assert amount.tokens == 100 + output
    assert amount.nano == 100 * 1000 + output * 10_000


def test_a_prompt_is_bounded_by_the_window_and_images_by_their_own_size() -> None:
    """A picture of a megabyte is not a million tokens."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    found = asked(messages=[{"role": "user", "content": [picture]}], max_tokens=0)
    assert bounds(tokens_per_image=2000).prompt(found) < 3000
    assert bounds().attempt(found, BIG, 10**7).tokens == 10_000
    assert bounds().attempt(asked(Endpoint.EMBEDDINGS, input="x"), BIG, 7).tokens == 7


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1", "input": "go on"},
        {"tools": [{"type": "web_search"}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
    ],
)
def test_a_prompt_that_the_body_does_not_show_may_fill_the_window(body: dict[str, Any]) -> None:
    """A stored conversation, a provider's own tool, a file somewhere."""
    found = asked(**body, max_tokens=0)
    assert bounds().attempt(found, BIG, bounds().prompt(found)).tokens == CARD.context_window


def test_many_prompts_in_one_request_may_exceed_a_window() -> None:
    """Their sum is paid for; each of them has to fit, not all together."""
    found = asked(Endpoint.EMBEDDINGS, input=["x" * 6000, "y" * 6000])
    assert bounds().attempt(found, BIG, bounds().prompt(found)).tokens > 12_000


def attempt(outcome: str, streamed: int = 0, **told: int) -> Attempt:
    """An attempt that ended so."""
    return Attempt(BIG, outcome=outcome, usage=Usage(**told), streamed=streamed)


@pytest.mark.parametrize(
    ("one", "stream", "tokens", "estimated"),
    [
        (attempt("ok", input_tokens=5, output_tokens=7), False, (5, 7), False),
        (attempt("cancelled", 3, input_tokens=5), True, (5, 3), True),
        (attempt("cancelled", 3), True, (21, 3), True),
        (attempt(Failure.TIMEOUT.value), False, (21, 40), True),
        (attempt(Failure.SERVER.value), False, (0, 0), False),
        (attempt(Failure.LIMITED.value), True, (0, 0), False),
        (attempt("rejected 400"), False, (0, 0), False),
        (attempt(Failure.RESET.value, 4), True, (21, 4), True),
    ],
)
def test_what_an_attempt_used(
    one: Attempt, tokens: tuple[int, int], *, stream: bool, estimated: bool
) -> None:
    """As told; else nothing for what was refused, and an estimate for what was cut."""
    found = asked(max_tokens=40, stream=stream)
    put(found, body_bytes=63)
    billed = fill_in(catalog(), found, one)
    assert (billed.input_tokens, billed.output_tokens) == tokens
    assert one.estimated is estimated


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 10**15},
        {"max_tokens": 10**15, "n": 3},
        {"max_tokens": 40, "n": 3},
        {"messages": [{"role": "user", "content": "x" * 200_000}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64," + "A" * 10**6},
                        }
                    ],
                }
            ]
        },
    ],
)
def test_an_estimate_is_never_above_what_was_set_aside(body: dict[str, Any]) -> None:
    """A client that leaves must not use up a budget with a number that no target could reach."""
    found, one = asked(**body), attempt(Failure.TIMEOUT.value)
    billed = fill_in(catalog(), found, one)
    worst = bounds().attempt(found, BIG, bounds().prompt(found))
    cost = to_nano(catalog().cost_usd(BIG, billed))
    assert one.estimated
    assert 0 < (billed.input_tokens or 0) + (billed.output_tokens or 0) <= worst.tokens
    assert 0 < cost <= worst.nano


def test_each_answer_that_was_asked_for_is_estimated() -> None:
    """Three answers of forty tokens may have been written before the target was told to stop."""
    found = asked(max_tokens=40, n=3)
    assert fill_in(catalog(), found, attempt(Failure.TIMEOUT.value)).output_tokens == 120


def test_an_estimate_that_stands_for_a_count_is_still_one() -> None:
    """Who was cut for a better answer did not tell: what was seen of it is counted in its place."""
    one = attempt("escalated", input_tokens=5, output_tokens=7)
    one.estimated = True
    assert fill_in(catalog(), asked(), one).output_tokens == 7
    assert one.estimated


def test_what_documents_add_is_set_aside_too() -> None:
    """A prompt with context has as many more tokens as that has bytes; it is billed as it was."""
    found, without = asked(stream=True), asked(stream=True)
    before = bounds().prompt(found)
    found.delivery.draws_on(3000)
    assert bounds().prompt(found) == before + 3000
    found.delivery.stitches(BIG.target, Stitched(({"document": "d"},), 1500))
    billed, plain = (fill_in(catalog(), each, attempt("cancelled", 1)) for each in (found, without))
    assert (billed.input_tokens or 0) - (plain.input_tokens or 0) == 500


@given(st.floats(0, 1e6, allow_nan=False))
def test_money_is_never_rounded_down(usd: float) -> None:
    """Billionths, up."""
    assert to_nano(usd) >= usd * 1e9 * (1 - 1e-12) - 0.001
    assert to_nano(usd) <= usd * 1e9 * (1 + 1e-12) + 1


@pytest.mark.parametrize(
    ("window", "starts", "ends"),
    [
        (Window.MINUTE, "2026-12-31T23:59:00", "2027-01-01T00:00:00"),
        (Window.HOUR, "2026-12-31T23:00:00", "2027-01-01T00:00:00"),
        (Window.DAY, "2026-12-31T00:00:00", "2027-01-01T00:00:00"),
        (Window.MONTH, "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_windows_are_the_calendars(window: Window, starts: str, ends: str) -> None:
    """In UTC; the moment of the end belongs to the next one."""
    begin, end = (datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp() for t in (starts, ends))
    assert window_at(window, end - 1) == (begin, end)
    assert window_at(window, begin) == (begin, end)
    assert window_at(window, end)[0] == end
    assert window_at(Window.TOTAL, end) == (0, None)


NAMES = st.sampled_from(["app", "shop", "auto", "x", 'a","b'])
PATTERNS = st.none() | st.just("*") | NAMES
WHO = st.tuples(NAMES, NAMES, NAMES)


@given(st.tuples(PATTERNS, PATTERNS, PATTERNS), WHO, WHO)
def test_requests_share_an_account_exactly_when_the_budget_counts_them_together(
    patterns: tuple[str | None, ...], one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """A named pattern selects, `*` tells apart, nothing counts all together."""
    key, tenant, route = patterns
    budget = BudgetConfig(name="b", window=Window.DAY, key=key, tenant=tenant, route=route, usd=1)

    def account(who: tuple[str, ...]) -> str | None:
        return next((a.id for a in accounts_of([budget], who[0], who[1], who[2], 0.0)), None)

    def fits(who: tuple[str, ...]) -> bool:
        return all(p in (None, "*", v) for p, v in zip(patterns, who, strict=True))

    same = all(p is None or a == b for p, a, b in zip(patterns, one, other, strict=True))
    assert (account(one) is not None) is fits(one)
    if fits(one) and fits(other):
        assert (account(one) == account(other)) is same


def test_a_glob_is_one_route_and_each_name_that_fits_it_may_have_a_budget() -> None:
    """Clients invent names that fit a glob: told apart, they would fill the table of counts."""
    each = BudgetConfig(name="each", window=Window.DAY, route="*", usd=1)
    own = BudgetConfig(name="own", window=Window.DAY, route="gpt-4o-mini", usd=1)

    def accounts(model: str) -> list[str]:
        return [a.id for a in accounts_of([each, own], "k", "t", "gpt-4o*", 0.0, model=model)]

    assert accounts("gpt-4o-x1") == accounts("gpt-4o-x2")
    assert len(accounts("gpt-4o-x1")) == 1
    assert len(accounts("gpt-4o-mini")) == 2


def test_a_budget_counts_each_metric_apart() -> None:
    """And each window anew."""
    budget = BudgetConfig(name="b", window=Window.MINUTE, requests=1, tokens=2, usd=3)
    first = list(accounts_of([budget], "k", "t", "r", 0.0))
    assert [a.metric for a in first] == [Metric.REQUESTS, Metric.TOKENS, Metric.MONEY]
    assert [a.limit for a in first] == [1, 2, 3 * 10**9]
    later = list(accounts_of([budget], "k", "t", "r", 60.0))
    assert not {a.id for a in first} & {a.id for a in later}
