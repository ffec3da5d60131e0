"""Clusters: do texts of one intent come together, and do clusters keep their names?

    python -m benchmarks.clusters [--only SET ...]

Texts arrive in random order, 200 at a time, as captured exchanges do, through the database. ARI and
NMI compare clusters with the data's intents; a text that is in no cluster counts as one of its own.
k-means is told how many intents there are, which nobody tells the product. Stable: ARI between two
orders of arrival. Kept: of the exchanges that were in a cluster when four fifths had come, how many
are in the same one at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Set before NumPy is loaded: one core for everything.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from adapters.corpus.cluster import ClusterState
from adapters.corpus.clusters import Clusters
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.grouping import GENERAL, grouped
from adapters.flywheel.database import FlywheelStore
from benchmarks.routing.data import folder
from router.embed.encoder import BgeSmall
from router.intent.examples import Example, from_file

_MOST = 3000
_BATCH = 200
_NONE = "NO_NODES_DETECTED"
Labels = NDArray[np.intp]


def _csv(name: str) -> Callable[[], list[Example]]:
    return lambda: from_file(folder() / name)


def _clinc(part: str) -> Callable[[], list[Example]]:
    def read() -> list[Example]:
        whole = json.loads((folder() / "clinc150_full.json").read_text(encoding="utf-8"))
        return [Example(text, intent) for text, intent in whole[part]]

    return read


def _sofmattress() -> list[Example]:
    found: list[Example] = []
    for part in ("train", "test"):
        path = folder() / f"hint3_sofmattress_{part}.csv"
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        split = (row.rpartition(",") for row in rows)
        found += [Example(text.strip('"'), label.strip()) for text, _, label in split]
    return [each for each in found if each.intent != _NONE]


SETS: Mapping[str, tuple[str, Callable[[], list[Example]]]] = {
    "banking": ("BANKING77 test", _csv("banking77_test.csv")),
    "clinc": ("CLINC150 test", _clinc("test")),
    "bitext": ("Bitext", _csv("bitext_customer_service_train.csv")),
    "banking-held": ("BANKING77 train, not tuned on", _csv("banking77_train.csv")),
    "clinc-held": ("CLINC150 validation, not tuned on", _clinc("val")),
    "sofmattress": ("HINT3 SOFMattress, not tuned on", _sofmattress),
}


class Remembered:
    """An encoder that reads every text once, over all runs."""

    def __init__(self) -> None:
        self._encoder = BgeSmall()
        self._known: dict[str, NDArray[np.float32]] = {}
        self.seconds = 0.0

    @property
    def name(self) -> str:
        """The encoder's."""
        return self._encoder.name

    @property
    def width(self) -> int:
        """The encoder's."""
        return self._encoder.width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text."""
        began = time.perf_counter()
        for text in texts:
            if text not in self._known:
                self._known[text] = self._encoder.encode([text])[0]
        self.seconds += time.perf_counter() - began
        return np.stack([self._known[text] for text in texts])


def agreement(ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[float, float]:
    """Adjusted Rand index (Hubert and Arabie 1985) and NMI, normalised by the mean entropy."""
    a, b = (np.unique(np.array(each, str), return_inverse=True)[1] for each in (ours, theirs))
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    rows, columns, count = table.sum(axis=1), table.sum(axis=0), len(a)
    both, in_rows, in_columns = (_pairs(each) for each in (table, rows, columns))
    expected = in_rows * in_columns / (count * (count - 1) / 2)
    ari = (both - expected) / ((in_rows + in_columns) / 2 - expected)
    share = table[table > 0] / count
    chance = (np.outer(rows, columns) / count**2)[table > 0]
    entropies = [-(p * np.log(p)).sum() for p in (rows / count, columns / count)]
    return float(ari), float(2 * (share * np.log(share / chance)).sum() / sum(entropies))


def _pairs(counts: NDArray[np.floating]) -> float:
    return float((counts * (counts - 1) / 2).sum())


def k_means(vectors: NDArray[np.float32], count: int, seed: int = 0) -> Labels:
    """Lloyd's algorithm on the sphere, k-means++ seeds, 30 rounds."""
    rng = np.random.default_rng(seed)
    centres = vectors[[rng.integers(len(vectors))]]
    while len(centres) < count:
        far = np.maximum(1 - (vectors @ centres.T).max(axis=1), 0)
        centres = np.vstack([centres, vectors[rng.choice(len(vectors), p=far / far.sum())]])
    labels = np.zeros(len(vectors), np.intp)
    for _ in range(30):
        labels = (vectors @ centres.T).argmax(axis=1)
        for label in range(count):
            if (labels == label).any():
                centres[label] = vectors[labels == label].mean(axis=0)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return labels


def arrive(
    examples: Sequence[Example], encoder: Remembered, order: Sequence[int]
) -> tuple[list[str], int, float, float]:
    """The cluster of each example at the end, how many there are, the share kept, the seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        store = FlywheelStore.open(f"sqlite:///{scratch}/flywheel.db", _do)
        exchanges = Exchanges(store)
        clusters = Clusters(store, exchanges, encoder)
        ids: dict[int, str] = {}
        before: dict[str, str] = {}
        spent = 0.0
        for start in range(0, len(order), _BATCH):
            for place in order[start : start + _BATCH]:
                ids[place] = exchanges.take(_exchange(examples[place].text))[0]
            began = time.perf_counter()
            while clusters.tick():
                pass
            spent += time.perf_counter() - began
            if not before and start >= 0.8 * len(order) - _BATCH:
                before = _where(clusters)
        after = _where(clusters)
        store.close()
    kept = sum(after.get(each) == cluster for each, cluster in before.items())
    homes = [after.get(ids[place], ids[place]) for place in range(len(examples))]
    return homes, len(set(after.values())), kept / max(len(before), 1), spent


def _do(work: Callable[[], object]) -> None:
    work()


def _exchange(text: str) -> Exchange:
    return Exchange(
        id="",
        at=time.time(),
        intent="none",
        tenant="bench",
        target="base",
        messages=({"role": "user", "content": text},),
        response="",
        signals=("out_of_scope",),
    )


def _where(clusters: Clusters) -> dict[str, str]:
    found = clusters.all([ClusterState.OPEN])
    return {name: each.id for each in found for name in clusters.exchanges(each.id, 10_000)}


def main() -> int:
    """Measure the sets whose files are there; say which are not."""
    parser = argparse.ArgumentParser(prog="make bench-clusters", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(SETS), default=list(SETS))
    encoder = Remembered()
    print(
        "| texts | intents | clusters | ARI | NMI | all at once: ARI, NMI | k-means with the true"
        " k: ARI, NMI | stable | kept | ms a text, without and with its encoding |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    for name in parser.parse_args().only:
        title, read = SETS[name]
        try:
            examples = [*dict.fromkeys(read())]
        except Exception as missing:  # noqa: BLE001 - whatever it is, the others are measured
            print(f"Skipped {title}: {missing}")
            continue
        print(_row(title, examples, encoder), flush=True)
    return 0


def _row(title: str, examples: list[Example], encoder: Remembered) -> str:
    rng = np.random.default_rng(7)
    chosen = sorted(rng.permutation(len(examples))[:_MOST].tolist())
    examples = [examples[place] for place in chosen]
    intents = [each.intent for each in examples]
    before = encoder.seconds
    vectors = encoder.encode([each.text for each in examples])
    encoding = encoder.seconds - before
    general = encoder.encode(GENERAL).mean(axis=0, dtype=np.float32)
    at_once = agreement(intents, grouped(vectors, general)[0].tolist())
    known = agreement(intents, k_means(vectors, len(set(intents))).tolist())
    orders = [rng.permutation(len(examples)).tolist() for _ in range(2)]
    homes, count, kept, seconds = arrive(examples, encoder, orders[0])
    again, *_ = arrive(examples, encoder, orders[1])
    ari, nmi = agreement(intents, homes)
    each = 1000 / len(examples)
    return (
        f"| {title}, {len(examples)} | {len(set(intents))} | {count} | {ari:.3f} | {nmi:.3f}"
        f" | {at_once[0]:.3f}, {at_once[1]:.3f} | {known[0]:.3f}, {known[1]:.3f}"
        f" | {agreement(homes, again)[0]:.3f} | {kept:.1%}"
        f" | {seconds * each:.1f}, {(seconds + encoding) * each:.1f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
