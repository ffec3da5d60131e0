"""K found again from simulated replicas whose K is known: changing load, odd mixes, restarts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.config.routing import LocalPrice
from router.prices import Work, tariff_of
from serving.registry.card_times import CardTimes
from serving.registry.remembered import RememberedTimes
from serving.registry.throughput import Throughput
from serving.registry.token_times import LEAST, MOST, TokenTimes

WINDOW_S = 600.0
PROMPT_TOKENS_S = 45_250.0
GENERATED_S = {1: 174.0, 8: 1339.0, 64: 9185.0, 256: 23_620.0}
"""What a 7B model did on an H100: decode tokens/s by requests at once."""
K = {load: PROMPT_TOKENS_S / rate for load, rate in GENERATED_S.items()}
Mix = Callable[[random.Random], float]
"""Prompt tokens for each generated one."""


def steady(ratio: float) -> Mix:
    """Every request has the same proportion."""
    return lambda _: ratio


def varied(chance: random.Random) -> float:
    """Chat beside documents: some seconds have long prompts."""
    return math.exp(chance.uniform(math.log(0.5), math.log(60)))


def seconds(
    load: int, count: int, mix: Mix, seed: int = 0, noise: float = 0.03, busy: float = 1.0
) -> Iterator[Work]:
    """What one replica does in each of so many seconds at one load."""
    chance = random.Random(f"{seed}-{load}")
    for _ in range(count):
        ratio = mix(chance)
        generated = busy / (ratio / PROMPT_TOKENS_S + 1 / GENERATED_S[load])
        yield Work(
            busy_s=busy * max(0.1, chance.gauss(1, noise)),
            request_s=busy * load,
            input_tokens=ratio * generated,
            output_tokens=generated,
        )


def day(mix: Mix, *, rounds: int = 6, each: int = 60, seed: int = 0) -> Iterator[Work]:
    """Load that goes up and down."""
    for turn in range(rounds):
        for load in GENERATED_S:
            yield from seconds(load, each, mix, seed=seed + turn)


def by_card(works: Iterator[Work]) -> CardTimes:
    """The same of one kind of card."""
    times = CardTimes(WINDOW_S)
    for work in works:
        times.of("H100").heard("r0", work)
    return times


def taught(works: Iterator[Work]) -> TokenTimes:
    """After all of it."""
    times = TokenTimes(WINDOW_S)
    for work in works:
        times.heard("r0", work)
    return times


@pytest.mark.parametrize("seed", range(5))
def test_k_is_found_at_each_load(seed: int) -> None:
    """From 261 to 1.9, each within a fifth, while the load changes all the time."""
    times = taught(day(varied, seed=seed))
    assert times.prompt_token_s == pytest.approx(1 / PROMPT_TOKENS_S, rel=0.15)
    found = times.by_load()
    assert found.keys() == K.keys()
    for load, wanted in K.items():
        assert found[load] == pytest.approx(wanted, rel=0.2), load


def test_prompts_that_are_counted_a_report_late_change_little() -> None:
    """A prompt counts when it was read, its seconds went by before."""
    times, late = TokenTimes(WINDOW_S), 0.0
    for work in day(varied):
        now, late = 0.4 * work.input_tokens + late, 0.6 * work.input_tokens
        times.heard("r0", work.model_copy(update={"input_tokens": now}))
    assert times.prompt_token_s == pytest.approx(1 / PROMPT_TOKENS_S, rel=0.2)


def test_prices_follow_the_load() -> None:
    """The same tokens cost in another proportion at night than at noon, and add up to the time."""
    throughput, total = Throughput(WINDOW_S), Work()
    config = LocalPrice(replica_hour_usd=3.6)

    def during(works: Iterator[Work]) -> float:
        nonlocal total
        for done in works:
            total = Work(
                **{
                    name: getattr(total, name) + getattr(done, name)
                    for name in ("busy_s", "request_s", "input_tokens", "output_tokens")
                }
            )
            throughput.heard("r0", total)
        assert throughput.told is not None
        tariff = tariff_of(config, throughput.told)
        assert tariff.ratio is not None
        work, price = throughput.told, tariff.price
        paid = work.input_tokens * price.input_usd + work.output_tokens * price.output_usd
        assert paid == pytest.approx(work.busy_s * 0.001, rel=1e-6)
        return tariff.ratio

    during(day(varied))
    night = during(seconds(1, 3000, varied))
    noon = during(seconds(64, 3000, varied))
    assert night == pytest.approx(K[1], rel=0.2)
    assert noon == pytest.approx(K[64], rel=0.2)


def test_cards_are_told_apart() -> None:
    """One that takes three times as long to read: of both together neither's time is found."""
    throughput, pooled = Throughput(WINDOW_S), TokenTimes(WINDOW_S)
    slower = {"fast": 0.0, "slow": 2 / PROMPT_TOKENS_S}
    works = [day(varied, seed=number) for number in range(len(slower))]
    totals = dict.fromkeys(slower, Work())
    for pair in zip(*works, strict=True):
        for (card, more), done in zip(slower.items(), pair, strict=True):
            before, busy_s = totals[card], done.busy_s + more * done.input_tokens
            totals[card] = Work(
                busy_s=before.busy_s + busy_s,
                request_s=before.request_s + done.request_s * busy_s / done.busy_s,
                input_tokens=before.input_tokens + done.input_tokens,
                output_tokens=before.output_tokens + done.output_tokens,
            )
            throughput.heard(f"{card}-0", totals[card], card)
            pooled.heard(f"{card}-0", done.model_copy(update={"busy_s": busy_s}))
    known = throughput.times.known()
    assert known["fast"] == pytest.approx(1 / PROMPT_TOKENS_S, rel=0.1)
    assert known["slow"] == pytest.approx(3 / PROMPT_TOKENS_S, rel=0.1)
    assert all(pooled.prompt_token_s != pytest.approx(took, rel=0.1) for took in known.values())
    told = throughput.told
    assert told is not None
    assert told.ratio is not None
    # All that was done was paid for: what prompts leave of the time is the generated tokens'.
    assert K[256] / 3 < told.ratio < K[1]


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("ratio", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_mix_that_never_changes_tells_nothing(ratio: float, noise: float, seed: int) -> None:
    """Collinear at every load: K stays as it is configured, however long it goes on."""
    times = TokenTimes(WINDOW_S)
    for turn in range(20):
        for load in GENERATED_S:
            for work in seconds(load, 60, steady(ratio), seed=seed + turn, noise=noise):
                times.heard("r0", work)
    assert times.prompt_token_s is None
    assert times.ratio(Work(busy_s=10, input_tokens=100, output_tokens=100)) is None
    assert times.by_load() == {}


@pytest.mark.parametrize("seed", range(10))
def test_a_mix_that_hardly_changes_tells_nothing_wrong(seed: int) -> None:
    """Either nothing, or something that is near the truth: noise is not taken for knowledge."""

    def nearly(chance: random.Random) -> float:
        return 5 * chance.gauss(1, 0.02)

    times = taught(day(nearly, rounds=20, seed=seed))
    if times.prompt_token_s is not None:
        assert times.prompt_token_s == pytest.approx(1 / PROMPT_TOKENS_S, rel=0.6)


def test_what_was_known_stays_known_while_the_mix_is_constant() -> None:
    """A night of one kind of request unlearns nothing."""
    times = taught(day(varied))
    known = times.prompt_token_s
    assert known is not None
    for work in seconds(8, 100_000, steady(2.0), noise=0.02):
        times.heard("r0", work)
    assert times.prompt_token_s == pytest.approx(known, rel=0.2)


def test_only_prompts_or_only_answers_break_nothing() -> None:
    """Embeddings generate nothing; a full prefix cache computes no prompt."""
    prompts = (Work(busy_s=1, request_s=4, input_tokens=40_000.0) for _ in range(200))
    assert taught(prompts).by_load() == {}
    answers = (Work(busy_s=1, request_s=4, output_tokens=900.0) for _ in range(200))
    assert taught(answers).prompt_token_s is None
    assert taught(iter([Work(), Work(busy_s=1)])).prompt_token_s is None


def test_several_replicas_teach_together() -> None:
    """Each block is one replica's; who leaves takes its unfinished one along."""
    times = TokenTimes(WINDOW_S)
    for number, work in enumerate(day(varied, rounds=3)):
        times.heard(f"r{number % 5}", work)
    assert times.prompt_token_s == pytest.approx(1 / PROMPT_TOKENS_S, rel=0.2)
    times.keep({"r1"})
    assert times._blocks.keys() <= {"r1"}


def test_k_is_bounded_whatever_is_counted() -> None:
    """Counts that cannot be do not give prices that cannot be."""
    times = TokenTimes(WINDOW_S)
    times.prompt_token_s = 1.0
    assert times.ratio(Work(busy_s=1, input_tokens=50, output_tokens=5)) == LEAST
    times.prompt_token_s = 1e-9
    assert times.ratio(Work(busy_s=1, input_tokens=50, output_tokens=5)) == MOST


def test_a_card_that_changes_is_learnt_again() -> None:
    """Half as fast from some day on."""
    times = taught(day(varied))
    for _ in range(12):
        for work in day(varied, rounds=3):
            slower = work.model_copy(update={"busy_s": 2 * work.busy_s})
            times.heard("r0", slower.model_copy(update={"request_s": 2 * work.request_s}))
    assert times.prompt_token_s == pytest.approx(2 / PROMPT_TOKENS_S, rel=0.15)


# Over restarts


def test_a_restarted_registry_goes_on_with_what_was_known(tmp_path: Path) -> None:
    """The first price after it has the K that the last one had."""
    times = by_card(day(varied))
    before = RememberedTimes(times, tmp_path)
    before.serves("base")
    before.keep()
    again = CardTimes(WINDOW_S)
    RememberedTimes(again, tmp_path).serves("base")
    assert again.known() == times.known() != {}


def test_another_base_begins_anew(tmp_path: Path) -> None:
    """Its tokens take another time, before a restart and after one."""
    times = by_card(day(varied))
    kept = RememberedTimes(times, tmp_path)
    kept.serves("base")
    kept.keep()
    kept.serves("other")
    assert (times.known(), times.by_load()) == ({}, {})
    again = CardTimes(WINDOW_S)
    RememberedTimes(again, tmp_path).serves("other")
    assert again.known() == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"base": "base"}', b'{"base": "base", "prompt_token_s": null}',
     b'{"base": "base", "prompt_token_s": {"": NaN}}',
     b'{"base": "base", "prompt_token_s": {"": -1}}',
     b'{"base": "base", "prompt_token_s": [1]}', b'{"base": "base", "prompt_token_s": 1}',
     b"\xff\xfe"],
)  # fmt: skip
def test_a_torn_or_odd_file_is_none(tmp_path: Path, content: bytes) -> None:
    """It is measured again."""
    (tmp_path / "token-times.json").write_bytes(content)
    times = CardTimes(WINDOW_S)
    RememberedTimes(times, tmp_path).serves("base")
    assert times.known() == {}


def test_an_operator_may_hold_k() -> None:
    """``measure_ratio: false``: the rest is measured all the same."""
    work = Work(busy_s=100, input_tokens=1000, output_tokens=1000, ratio=50.0)
    measured = tariff_of(LocalPrice(replica_hour_usd=1), work)
    held = tariff_of(LocalPrice(replica_hour_usd=1, measure_ratio=False), work)
    assert (measured.ratio, held.ratio) == (50.0, 5.0)
