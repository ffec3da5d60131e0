"""How well near-duplicates are told: BANKING77 and CLINC150, labelled by what they are about.

    python -m benchmarks.near_duplicates

Nearly equal questions with another label are merged wrongly; many of those are labelled twice.
"""

from __future__ import annotations

import time

from adapters.corpus.folding import folded
from adapters.corpus.likeness import Word, keys, near, words
from benchmarks.routing.data import banking77, clinc150

_SHOWN = 10
_LOOKED_AT = 32


def main() -> None:
    """Print what is merged, what of it is of another label, and what one text takes."""
    kept: dict[int, list[tuple[str, tuple[Word, ...], str]]] = {}
    distinct: set[str] = set()
    wrong: list[tuple[str, str, str, str]] = []
    merged = 0
    began = time.perf_counter()
    splits = ("train", "test")
    examples = [
        *(each for split in splits for each in banking77(split)),
        *clinc150(*splits, "val"),
    ]
    for text, label in ((each.text, str(each.intent)) for each in examples):
        if folded(text) in distinct:
            continue
        distinct.add(folded(text))
        said = words(text)
        found = keys("", said)
        candidates = [each for key in found for each in kept.get(key, ())[-_LOOKED_AT:]]
        like = next((each for each in candidates if near(each[1], said)), None)
        if like is None:
            for key in found:
                kept.setdefault(key, []).append((text, said, label))
            continue
        merged += 1
        if like[2] != label:
            wrong.append((like[0], text, like[2], label))
    took_us = (time.perf_counter() - began) / len(examples) * 1e6
    print(f"{len(distinct)} distinct texts, {merged} merged, {len(wrong)} of another label")
    print(f"{took_us:.0f} us each")
    for each in wrong[:_SHOWN]:
        print("  ", *each, sep=" | ")


if __name__ == "__main__":
    main()
