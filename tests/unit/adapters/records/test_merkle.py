"""RFC 6962's tree: against the definition itself, and against published values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.records import merkle
from adapters.records.line import leaf_hash

# The inputs of RFC 6962's reference implementation, and its roots for 1 to 8 of them.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    """Hashes of as many leaves."""
    return [hashlib.sha256(b"\0%d" % number).digest() for number in range(count)]


def defined(found: list[bytes]) -> bytes:
    """The tree hash as RFC 6962, 2.1 writes it down."""
    if not found:
        return hashlib.sha256(b"").digest()
    if len(found) == 1:
        return found[0]
    split = 1
    while split * 2 < len(found):
        split *= 2
    both = defined(found[:split]) + defined(found[split:])
    return hashlib.sha256(b"\x01" + both).digest()


def subtrees(found: list[bytes]) -> Callable[[int, int], bytes]:
    """Complete subtrees, computed."""
    return lambda level, index: defined(found[index << level : (index + 1) << level])


def test_roots_are_the_published_ones() -> None:
    """Of the reference implementation's inputs."""
    found = [bytes.fromhex(leaf_hash(bytes.fromhex(text))) for text in INPUTS]
    assert [merkle.root_of(found[: n + 1]).hex() for n in range(8)] == ROOTS


@given(st.integers(0, 130), st.data())
def test_every_proof_holds_and_no_other_does(size: int, data: st.DataObject) -> None:
    """Inclusion and consistency, for any size and place; a changed step is noticed."""
    found = leaves(size)
    root = merkle.root_of(found)
    assert root == defined(found)
    assert merkle.frontier_of(size, subtrees(found)).root() == root
    first = data.draw(st.integers(0, size))
    path = merkle.consistency_path(first, size, subtrees(found))
    before = defined(found[:first])
    assert merkle.goes_on(first, before, size, root, path)
    if 0 < first < size:
        assert not merkle.goes_on(first, root, size, root, path)
        assert not merkle.goes_on(first, before, size, before, path)
        assert not merkle.goes_on(first, before, size, root, path[:-1])
    if size:
        index = data.draw(st.integers(0, size - 1))
        proof = merkle.inclusion_path(index, size, subtrees(found))
        assert merkle.root_from_path(found[index], index, size, proof) == root
        assert len(proof) <= size.bit_length()
        if proof:
            changed = [b"\0" * 32, *proof[1:]]
            assert merkle.root_from_path(found[index], index, size, changed) != root
            assert merkle.root_from_path(found[index], index, size, proof[:-1]) != root


@given(st.integers(0, 40), st.integers(0, 4))
def test_a_tree_goes_on_by_leaves_and_by_subtrees(begin: int, level: int) -> None:
    """Both ways lead to the same root."""
    begin = begin >> level << level
    found = leaves(begin + (1 << level))
    frontier = merkle.Frontier()
    for leaf in found[:begin]:
        frontier.append(leaf)
    frontier.append_subtree(level, defined(found[begin:]))
    assert frontier.root() == defined(found)
    assert frontier.copy().root() == defined(found)


def test_what_no_tree_has_is_refused() -> None:
    """Leaves beyond the end, an older tree that is larger, a subtree at an odd place."""
    found = leaves(5)
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_path(5, 5, subtrees(found))
    with pytest.raises(ValueError, match="does not go on"):
        merkle.consistency_path(6, 5, subtrees(found))
    frontier = merkle.Frontier()
    frontier.append(found[0])
    with pytest.raises(ValueError, match="cannot begin"):
        frontier.append_subtree(1, found[1])
    with pytest.raises(ValueError, match="complete subtrees"):
        merkle.Frontier(3, [found[0]])
