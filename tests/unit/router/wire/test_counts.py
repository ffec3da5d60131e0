"""What a target says that it used: money is counted by it, so not every number is believed."""

from __future__ import annotations

from typing import Any

import pytest

from router.wire.endpoint import Usage
from router.wire.watch import record

SENSELESS = [-1, -(10**12), 2**40, True, "7", 7.0, None, [7], {"n": 7}]


@pytest.mark.parametrize("count", SENSELESS)
def test_a_senseless_count_was_not_told(count: Any) -> None:
    """A negative one would refill a budget, a huge one empty it; both are estimated instead."""
    usage = Usage()
    record(usage, {"prompt_tokens": count, "completion_tokens": count})
    assert usage == Usage()
    details = {"cached_tokens": count}
    record(usage, {"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": details})
    record(usage, {"prompt_tokens": count, "completion_tokens": count})
    assert usage == Usage(3, 5)


@pytest.mark.parametrize("count", SENSELESS)
def test_nor_in_the_words_of_other_formats(count: Any) -> None:
    """Messages count the cached part apart, Responses call them otherwise."""
    usage = Usage()
    record(usage, {"input_tokens": count, "cache_read_input_tokens": count, "output_tokens": count})
    record(usage, {"input_tokens": count, "output_tokens": count})
    assert usage == Usage()
    record(usage, {"input_tokens": 3, "cache_read_input_tokens": count, "output_tokens": 5})
    assert usage == Usage(3, 5)


@pytest.mark.parametrize("cost", [-0.1, 1e7, True, "0.1", None, [0.1]])
def test_a_senseless_cost_was_not_told(cost: Any) -> None:
    """Nobody pays a million for one answer: then it is reckoned from the tokens."""
    usage = Usage()
    record(usage, {"prompt_tokens": 3, "completion_tokens": 5, "cost": cost})
    assert usage == Usage(3, 5)
    record(usage, {"prompt_tokens": 3, "completion_tokens": 5, "cost": 0.25})
    assert usage.told_usd == 0.25
