"""RFC 6962's tree over hashes of leaves: roots in one pass, proofs from complete subtrees.

A *complete subtree* has ``2**level`` leaves and begins at a multiple of that; its ``index`` counts
those of its level. Everything here is arithmetic over 32-byte hashes; where they lie is for others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""The hash of a complete subtree, by its level and index."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with these two below it."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees that a tree of some size is made of: all that is needed to go on.

    ``nodes`` are their hashes, the largest first.
    """

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if len(self.nodes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees")

    def append(self, leaf: bytes) -> None:
        """Take the next leaf's hash."""
        size, nodes = self.size, self.nodes
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + nodes.pop() + leaf).digest()
            size >>= 1
        nodes.append(leaf)
        self.size += 1

    def append_subtree(self, level: int, node: bytes) -> None:
        """Take ``2**level`` leaves at once; the size is a multiple of that."""
        if self.size & ((1 << level) - 1):
            raise ValueError(f"a subtree of level {level} cannot begin at leaf {self.size}")
        size = self.size >> level
        while size & 1:
            node = node_hash(self.nodes.pop(), node)
            size >>= 1
        self.nodes.append(node)
        self.size += 1 << level

    def root(self) -> bytes:
        """RFC 6962's tree hash."""
        if not self.nodes:
            return EMPTY_ROOT
        found = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            found = node_hash(node, found)
        return found

    def copy(self) -> Frontier:
        """One that goes on by itself."""
        return Frontier(self.size, self.nodes)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The tree hash of a few leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def frontier_of(size: int, subtree: Subtree) -> Frontier:
    """What a tree of this size is made of."""
    nodes, begin = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            nodes.append(subtree(level, begin >> level))
            begin += 1 << level
    return Frontier(size, nodes)


def range_hash(begin: int, end: int, subtree: Subtree) -> bytes:
    """The tree hash over leaves ``begin`` to ``end - 1``; ``begin`` fits the tree's own shape."""
    size = end - begin
    if size & (size - 1) == 0 and begin % size == 0:
        return subtree(size.bit_length() - 1, begin // size)
    split = _split(size)
    return node_hash(
        range_hash(begin, begin + split, subtree), range_hash(begin + split, end, subtree)
    )


def inclusion_path(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """RFC 6962, 2.1.1: the audit path of a leaf. Raises ``ValueError`` for none of the tree."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_hash(middle, end, subtree))
            end = middle
        else:
            path.append(range_hash(begin, middle, subtree))
            begin = middle
    return path[::-1]


def consistency_path(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """RFC 6962, 2.1.2: that a tree goes on from an earlier one.

    Raises ``ValueError`` when it cannot.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {second} leaves does not go on from one of {first}")
    if first in (0, second):
        return []
    path: list[bytes] = []
    begin, end, left, whole = 0, second, first, True
    while left != end - begin:
        split = _split(end - begin)
        if left <= split:
            path.append(range_hash(begin + split, end, subtree))
            end = begin + split
        else:
            path.append(range_hash(begin, begin + split, subtree))
            begin, left, whole = begin + split, left - split, False
    if not whole:
        path.append(range_hash(begin, end, subtree))
    return path[::-1]


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an audit path leads to (RFC 9162, 2.1.3.2); None when it has a wrong length."""
    if not 0 <= index < size:
        return None
    node, last = index, size - 1
    found = leaf
    for step in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = node_hash(step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def goes_on(
    first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether a path proves that the second tree has the first in it (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        return not path and (first == 0 or first_root == second_root)
    steps = list(path)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    one = two = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            one, two = node_hash(step, one), node_hash(step, two)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            two = node_hash(two, step)
        node, last = node >> 1, last >> 1
    return last == 0 and one == first_root and two == second_root


def _split(size: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << ((size - 1).bit_length() - 1)
