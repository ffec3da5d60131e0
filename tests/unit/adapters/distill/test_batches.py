"""Batches: nothing is lost, little is padded, and the order is the same after a restart."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.distill.batches import endless, grouped, laid_out
from adapters.distill.encode import Encoded

LENGTHS = st.lists(st.integers(2, 90), min_size=1, max_size=60)


def _examples(lengths: list[int]) -> list[Encoded]:
    return [
        Encoded(tuple(range(1, n + 1)), max(1, n // 2), f"g{at}", f"{at}")
        for at, n in enumerate(lengths)
    ]


@given(LENGTHS, st.integers(16, 256), st.integers(0, 99))
def test_every_example_once_a_pass_and_no_batch_over_its_budget(
    lengths: list[int], tokens: int, seed: int
) -> None:
    """One that alone is over the budget gets a batch to itself."""
    examples = _examples(lengths)
    groups = grouped(examples, tokens, seed)
    assert sorted(itertools.chain(*groups)) == list(range(len(examples)))
    for group in groups:
        assert len(group) == 1 or laid_out([examples[n] for n in group]).tokens <= tokens


@given(LENGTHS, st.integers(0, 40))
def test_after_a_restart_the_same_batches_follow(lengths: list[int], skip: int) -> None:
    """What a resumed training computes is what the unbroken one would have computed."""
    examples = _examples(lengths)
    whole = itertools.islice(endless(examples, 128, 7, packed=False), skip, skip + 6)
    rest = itertools.islice(endless(examples, 128, 7, packed=False, skip=skip), 6)
    for one, other in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)


def test_passes_differ() -> None:
    """Two passes over the data do not meet the same neighbours in the same order."""
    examples = _examples([10] * 40)
    assert grouped(examples, 64, 7) != grouped(examples, 64, 8)


def test_like_lengths_are_together() -> None:
    """Padding costs less than a tenth where chance alone would waste more than a third."""
    chance = np.random.default_rng(0)
    examples = _examples([int(n) for n in chance.integers(5, 200, 400)])
    real = sum(len(example.ids) for example in examples)

    def computed(groups: list[list[int]]) -> int:
        return sum(laid_out([examples[n] for n in group]).tokens for group in groups)

    by_chance = [list(range(at, at + 10)) for at in range(0, 400, 10)]
    assert computed(by_chance) > 1.5 * real
    assert computed(grouped(examples, 1024, 0)) < 1.1 * real


@given(LENGTHS)
def test_targets_are_the_tokens_after_the_wanted_places(lengths: list[int]) -> None:
    """Row by row, packed or not: what is trained is each answer, and nothing of a prompt."""
    examples = _examples(lengths)
    for packed in (False, True):
        batch = laid_out(examples, packed=packed)
        expected = [token for example in examples for token in example.ids[example.start :]]
        assert batch.targets.tolist() == expected
        assert batch.wanted.sum() == len(expected)
        # Ids count from 1, so that the next token is one more.
        assert (batch.ids[batch.wanted] + 1).tolist() == expected


def test_packed_examples_begin_at_zero_and_know_their_own() -> None:
    """Positions start anew with each example, and segments tell them apart."""
    batch = laid_out(_examples([3, 2]), packed=True)
    assert batch.ids.tolist() == [[1, 2, 3, 1, 2]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.segments is not None
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1]]
