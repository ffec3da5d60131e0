"""Retrieval: is the right document among the first five, and is the answer in what a model reads?

    python -m benchmarks.governance.retrieval DATA

DATA is a file like SQuAD's: paragraphs with questions whose answers are spans of them. Every
paragraph is a document. BM25 alone and vectors alone are the two halves of what ships.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from router.config.documents import ContextConfig
from router.context.documents.cutting import chunks
from router.context.documents.model import Chunk, Document, Hits, Passage, TenantCollection
from router.context.documents.sqlite import SqliteIndex
from router.context.fit import fitted
from router.context.retrieve import Question, Retriever, fused
from router.context.tokens import local_counter
from router.embed.cross import CrossEncoder
from router.embed.encoder import BgeSmall
from router.embed.threads import Threads
from serving.embedded import BASE_DIR

SCOPE = TenantCollection("bench", "all")
BUDGETS = (128, 256, 512, 1024)
"""Tokens of the embedded base, whose small vocabulary makes more of them than usual ones do."""
RERANK_S = 0.150
_PASSAGES = 12
_CANDIDATES = 40


@dataclass(frozen=True)
class Asked:
    """One question."""

    text: str
    document: str
    answers: tuple[str, ...]


@dataclass
class Row:
    """What one way of retrieving found."""

    name: str
    first: list[bool] = field(default_factory=list)
    fifth: list[bool] = field(default_factory=list)
    answered: dict[int, list[bool]] = field(default_factory=lambda: {n: [] for n in BUDGETS})
    ms: list[float] = field(default_factory=list)

    def line(self) -> str:
        """As a row of a table."""
        shares = [_mean(self.first), _mean(self.fifth), *map(_mean, self.answered.values())]
        times = f"{statistics.median(self.ms):.1f} | {_quantile(self.ms, 0.95):.1f}"
        return f"| {self.name} | " + " | ".join(f"{each:.3f}" for each in shares) + f" | {times} |"


def main(path: Path, most: int | None = None) -> list[Row]:
    """Measure, print, and return what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        encoder = BgeSmall()
        index = SqliteIndex(Path(folder) / "documents.db", encoder.width, writes=True)
        questions = _fill(index, encoder, json.loads(path.read_text())["data"])[:most]
        rows = _measured(index, encoder, questions)
        strange = _unrelated(path.parent / "banking77_train.csv")
        shares = _left_out(index, encoder, [each.text for each in questions[::8]], strange)
        index.close()
    print(f"{len({q.document for q in questions})} documents, {len(questions)} questions\n")
    print("| | recall@1 | recall@5 | " + " | ".join(f"in {n}" for n in BUDGETS), end="")
    print(" | p50 ms | p95 ms |\n|" + " --- |" * (len(BUDGETS) + 5))
    for row in rows:
        print(row.line())
    for name, share in shares.items():
        print(f"\n{name}: {share:.3f} get nothing")
    return rows


def _unrelated(path: Path) -> list[str]:
    """Questions of another world; none where the file is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][::100]


def _left_out(
    index: SqliteIndex, encoder: BgeSmall, own: Sequence[str], strange: Sequence[str]
) -> dict[str, float]:
    """Shares of questions that get no passage, by what ships."""
    defaults = ContextConfig()
    threads = Threads("floor")
    retriever = Retriever(index, encoder, CrossEncoder(), threads)

    def nothing(text: str) -> bool:
        least = (defaults.least_score, defaults.least_similarity)
        asked = Question(SCOPE.tenant, (SCOPE.collection,), text, _PASSAGES, None, *least)
        return not retriever.find(asked).passages

    asked = {"questions about these documents": own, "questions about banking": strange}
    found = {name: _mean([nothing(each) for each in texts]) for name, texts in asked.items()}
    threads.close()
    return found


def _fill(index: SqliteIndex, encoder: BgeSmall, articles: Any) -> list[Asked]:
    questions: list[Asked] = []
    for number, paragraph in enumerate(p for article in articles for p in article["paragraphs"]):
        texts = chunks(paragraph["context"])
        vectors = encoder.encode(texts)
        name = f"d{number:05}"
        document = Document(name, *SCOPE, name, "text/plain", 0.0, len(texts), 0)
        index.put(document, [Chunk(*pair) for pair in zip(texts, vectors, strict=True)])
        questions += [
            Asked(each["question"], name, tuple({a["text"] for a in each["answers"]}))
            for each in paragraph["qas"]
        ]
    return questions


def _measured(index: SqliteIndex, encoder: BgeSmall, questions: Sequence[Asked]) -> list[Row]:
    counter = local_counter(BASE_DIR)
    assert counter is not None
    reranker = CrossEncoder()
    reranker.load()
    threads = Threads("bench")
    retriever = Retriever(index, encoder, reranker, threads)

    def alone(which: Callable[[Hits], Hits]) -> Callable[[Asked], list[Passage]]:
        def find(asked: Asked) -> list[Passage]:
            vector = encoder.encode([asked.text])[0]
            hits = which(index.find([SCOPE], asked.text, vector, _CANDIDATES))
            scores = fused(hits)[:_PASSAGES]
            found = index.passages([number for number, _ in scores])
            return [replace(found[number], score=score) for number, score in scores]

        return find

    def both(rerank_s: float | None) -> Callable[[Asked], list[Passage]]:
        return lambda asked: (
            retriever.find(
                Question(SCOPE.tenant, (SCOPE.collection,), asked.text, _PASSAGES, rerank_s)
            ).passages
        )

    ways = {
        "BM25 alone, whole passages": (alone(lambda hits: Hits(hits.lexical, [])), _whole),
        "vectors alone, whole passages": (alone(lambda hits: Hits([], hits.vectors)), _whole),
        "fused, whole passages": (both(0.0), _whole),
        "fused, sentences": (both(0.0), fitted),
        f"fused, reranked within {RERANK_S * 1000:.0f} ms, sentences": (both(RERANK_S), fitted),
        "fused, reranked, sentences": (both(None), fitted),
    }
    rows = []
    for name, (find, fit) in ways.items():
        row = Row(name)
        for asked in questions:
            _ask(row, asked, find, fit, counter.text)
        rows.append(row)
    threads.close()
    return rows


def _ask(
    row: Row,
    asked: Asked,
    find: Callable[[Asked], list[Passage]],
    fit: Callable[..., list[Passage]],
    count: Callable[[str], int],
) -> None:
    began = time.perf_counter()
    found = find(asked)
    row.ms.append((time.perf_counter() - began) * 1000)
    documents = list(dict.fromkeys(passage.document for passage in found))
    row.first.append(asked.document in documents[:1])
    row.fifth.append(asked.document in documents[:5])
    for budget, answered in row.answered.items():
        shown = fit(found, asked.text, budget, lambda passage: count(passage.text) + 6)
        text = "\n".join(passage.text for passage in shown)
        answered.append(any(answer in text for answer in asked.answers))


def _whole(
    passages: Iterable[Passage], _question: str, budget: int, count: Callable[[Passage], int]
) -> list[Passage]:
    """As many whole passages as fit, best first: what is usually done."""
    found: list[Passage] = []
    for passage in passages:
        size = count(passage)
        if size <= budget:
            found.append(passage)
            budget -= size
    return found


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / max(1, len(values))


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def shortfall(rows: Sequence[Row]) -> str | None:
    """What of the claim does not hold: what ships finds no less than either half of it."""
    lexical, vectors, _, _, shipped, _ = rows
    for measure in ("first", "fifth"):
        best = max(_mean(getattr(lexical, measure)), _mean(getattr(vectors, measure)))
        if _mean(getattr(shipped, measure)) < best:
            return f"recall of the {measure} is below {best:.3f}, which one half reaches alone"
    return None


if __name__ == "__main__":
    sys.exit(shortfall(main(Path(sys.argv[1]))))
