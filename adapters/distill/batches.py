"""Which examples are computed together: of like length, in an order that seed and pass decide.

The order is a function of (seed, pass), so a training that goes on at step n computes what the
unbroken one would have computed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.distill.encode import Encoded

_POOL_BATCHES = 16

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples laid out for one forward pass.

    Padding is at the end, where no causal model's real token looks. In a packed batch, which is one
    row, ``segments`` numbers each token's example: tokens see only their own.
    """

    ids: Ids
    positions: Ids
    wanted: NDArray[np.bool_]
    """Where the *next* token is trained."""
    targets: Ids
    """That next token, for each wanted place in row-major order."""
    segments: Ids | None = None
    teacher: tuple[dict[int, float], ...] | None = None
    """For each target, the teacher's probabilities by token id."""

    @property
    def trained(self) -> int:
        """Tokens that it trains."""
        return len(self.targets)

    @property
    def tokens(self) -> int:
        """Tokens that are computed, padding included."""
        return int(self.ids.size)


def endless(
    examples: Sequence[Encoded], tokens: int, seed: int, *, packed: bool, skip: int = 0
) -> Iterator[Batch]:
    """Batches for ever, pass after pass, without the first ``skip``."""
    passed = 0
    while True:
        groups = grouped(examples, tokens, seed + passed)
        passed += 1
        if skip >= len(groups):
            skip -= len(groups)
            continue
        for group in groups[skip:]:
            yield laid_out([examples[n] for n in group], packed=packed)
        skip = 0


def once(examples: Sequence[Encoded], tokens: int) -> list[Batch]:
    """Every example in one pass, for measuring."""
    return [laid_out([examples[n] for n in group]) for group in grouped(examples, tokens, 0)]


def grouped(examples: Sequence[Encoded], tokens: int, seed: int) -> list[list[int]]:
    """Numbers of the examples of each batch, at most ``tokens`` padded tokens in one.

    Examples are shuffled, and only within a pool of some batches sorted by length: enough to spare
    the padding, not so much that every batch of a pass has the same neighbours again.
    """
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    order = list(range(len(examples)))
    chance.shuffle(order)
    groups: list[list[int]] = []
    for pool in _pools(examples, order, tokens * _POOL_BATCHES):
        groups += _by_length(examples, pool, tokens)
    chance.shuffle(groups)
    return groups


def _pools(examples: Sequence[Encoded], order: Sequence[int], tokens: int) -> Iterator[list[int]]:
    pool: list[int] = []
    size = 0
    for number in order:
        pool.append(number)
        size += len(examples[number].ids)
        if size >= tokens:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool


def _by_length(examples: Sequence[Encoded], pool: list[int], tokens: int) -> list[list[int]]:
    groups: list[list[int]] = [[]]
    for number in sorted(pool, key=lambda n: len(examples[n].ids)):
        if groups[-1] and len(examples[number].ids) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(number)
    return groups


def laid_out(examples: Sequence[Encoded], *, packed: bool = False) -> Batch:
    """One batch of these examples, each a row of its own or all behind each other in one."""
    rows = [list(example.ids) for example in examples]
    positions = [list(range(len(row))) for row in rows]
    marks = [_marks(example) for example in examples]
    segments = None
    if packed:
        numbers = [n for n, row in enumerate(rows) for _ in row]
        segments = np.array([numbers], dtype=np.int64)
        rows, positions, marks = ([_joined(each)] for each in (rows, positions, marks))
    teacher = [
        dict(given) for example in examples for given in example.teacher or ({},) * example.trained
    ]
    return Batch(
        ids=_padded(rows),
        positions=_padded(positions),
        wanted=_padded(marks).astype(np.bool_),
        targets=np.array([i for e in examples for i in e.ids[e.start :]], dtype=np.int64),
        segments=segments,
        teacher=tuple(teacher) if any(teacher) else None,
    )


def _marks(example: Encoded) -> list[int]:
    """1 where the next token is trained."""
    return [int(example.start <= at + 1 < len(example.ids)) for at in range(len(example.ids))]


def _joined(rows: Sequence[list[int]]) -> list[int]:
    return [value for row in rows for value in row]


def _padded(rows: Sequence[Sequence[int]]) -> Ids:
    table = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table
