"""Command line: `python -m benchmarks.routing [--only PART ...] [--vectors DIR]`."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

# Set before NumPy is loaded: one core for everything.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.routing import after, confidence, few, intents, latency, prehoc, pretend, tracer
from benchmarks.routing.data import DataMissing, banking77, gsm8k
from benchmarks.routing.encoded import Reader
from router.config.auto import AutoConfig
from router.intent.encoder import EncoderMissing, SentenceEncoder
from router.intent.vectors import VectorCache

_OTHER_DIVISIONS = (1, 2)
_CONFIDENCE = Path(".graftwork/bench-confidence")
_VECTORS = Path(".graftwork/bench-routing")


def _intents(reader: Reader) -> None:
    bank, head = intents.banking(reader)
    print("\n| BANKING77 test, 3,080 texts | value | target |")
    print("| --- | --: | --: |")
    print(f"| accuracy, as the router answers | {bank.accuracy:.2%} | ≥ 94 % |")
    print(f"| … without the shortcut | {bank.without_shortcut:.2%} | |")
    print(f"| … logistic head on the sentence vector alone | {bank.logistic_alone:.2%} | |")
    print(f"| expected calibration error (15 bins) | {bank.ece:.4f} | ≤ 0.03 |")
    print(f"| answered by the shortcut | {bank.shortcut_share:.1%} | |")
    print("\n| ms on one core, p50 / p99 | wall | CPU | least CPU of 5 | target |")
    print("| --- | --: | --: | --: | --: |")
    for row in latency.table(reader.encoder, head, [e.text for e in banking77("test")][:1000]):
        figures = (f"{low:.2f} / {high:.2f}" for low, high in (row.wall, row.cpu, row.least_cpu))
        print(f"| {row.name} | {' | '.join(figures)} | 2 / 6 |", flush=True)


def _clinc(reader: Reader) -> None:
    found = intents.clinc(reader)
    print("\n| CLINC150, threshold from validation data | validation | test | target |")
    print("| --- | --: | --: | --: |")
    print(f"| in-scope accuracy, nothing rejected | | {found.before:.2%} | |")
    val, test = f"{found.validation_after:.2%}", f"{found.after:.2%}"
    print(f"| in-scope accuracy after rejection | {val} | {test} | ≥ 94 % |")
    val, test = f"{found.validation_recall:.3f}", f"{found.recall:.3f}"
    print(f"| out-of-scope recall | {val} | {test} | ≥ 0.85 |")
    print(f"| AUROC in scope against out of scope | | {found.auroc:.4f} | |")
    print(f"| expected calibration error, accepted texts | | {found.ece:.4f} | ≤ 0.03 |")
    print(f"| answered by the shortcut | | {found.shortcut_share:.1%} | |", flush=True)


def _tracer(reader: Reader) -> None:
    rows = tracer.table(reader)
    print("\nTRACER protocol on BANKING77\n")
    print("| traces | handled locally | agreement there | end to end |")
    print("| --: | --: | --: | --: |")
    for row in rows:
        print(f"| {row.traces} | {row.handled:.1%} | {row.agreement:.1%} | {row.end_to_end:.1%} |")
    print("| published, 10,000 | 92.2% | 96.1% | 96.4% |", flush=True)


def _prehoc(reader: Reader) -> None:
    problems = gsm8k()
    vectors = reader.vectors([p.text for p in problems])
    weak, strong, best = prehoc.accuracies(problems)
    print(f"\nGSM8K, {len(problems)} problems: weak {weak:.1%}, strong {strong:.1%}, ", end="")
    print(f"the better of both on each {best:.1%}.\n")
    print(
        "| router | strong calls for 95 % of its quality | 95 % interval | cost | APGR | less kNN |"
    )
    print("| --- | --: | --: | --: | --: | --: |")
    for row in prehoc.table(problems, vectors):
        gap = "" if row.apgr != row.apgr else f"{row.apgr:.3f}"
        interval = f"{row.low:.1%} to {row.high:.1%}"
        beside = " to ".join(f"{100 * end:+.1f}" for end in row.against_knn)
        figures = f"{row.share:.1%} | {interval} | {row.cost:.1%} | {gap} | {beside}"
        print(f"| {row.name} | {figures} |", flush=True)
    done = prehoc.as_decided(problems, vectors)
    print(
        f"\nWith worth_usd {done.worth_usd:.4f} the strong model was asked {done.share:.1%}, "
        f"for {done.quality:.2%} of its quality."
    )
    for seed in _OTHER_DIVISIONS:
        again = {row.name: row.share for row in prehoc.table(problems, vectors, seed)}
        shares = ", ".join(f"{name} {again[name]:.1%}" for name in prehoc.COMPARED)
        print(f"Other folds: {shares}.", flush=True)
    print("\n| evidence after generation | AUROC | strong calls ", end="")
    print("| as decided one by one | 95 % interval | some at once | share at once |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    try:
        sure = confidence.features(problems, _CONFIDENCE)
    except confidence.NoModel as missing:
        print(f"Without SmolLM2's confidence: {missing}")
        sure = None
    answers = reader.vectors([p.answer for p in problems])
    for each in after.table(problems, vectors, answers, sure):
        interval = f"{each.low:.1%} to {each.high:.1%}"
        rest = f"{each.with_at_once:.1%} | {each.at_once:.1%}"
        figures = f"{each.auroc:.3f} | {each.share:.1%} | {each.decided:.1%} | {interval} | {rest}"
        print(f"| {each.name} | {figures} |", flush=True)
    for seed in _OTHER_DIVISIONS:
        others = after.table(problems, vectors, answers, sure, seed)
        shares = ", ".join(f"{each.name} {each.share:.1%}" for each in others)
        print(f"Other folds: {shares}.", flush=True)


def _few(reader: Reader) -> None:
    print("\nIntents with few examples; defaults only\n")
    print(
        "| set | examples / intents (fewest) | accuracy | in scope | none, turned away | MCC ",
        end="",
    )
    print("| best guess | ECE, accepted | trained, s | asked, ms |")
    print("| --- | --- " + "| --: " * 8 + "|")
    for row in few.table(reader.encoder):
        size = f"{row.examples} / {row.intents} ({row.fewest})"
        shares = f"{row.accuracy:.3f} | {row.inside:.3f} | {row.outside:.3f} | {row.mcc:.3f}"
        rest = f"{row.best_guess:.3f} | {row.ece:.3f} | {row.trained_s:.1f} | {row.asked_ms:.1f}"
        print(f"| {row.name} | {size} | {shares} | {rest} |", flush=True)


def _pretend(reader: Reader) -> None:
    print("\nPretended bots with few examples: confidence of what is recognised\n")
    print("| examples, asked | bots | ECE | of it chance | too sure |")
    print("| --- | --: | --: | --: | --: |")
    for row in pretend.table(reader):
        figures = f"{row.ece:.3f} | {row.by_chance:.3f} | {row.too_sure:+.3f}"
        print(f"| {row.name} | {row.bots} | {figures} |", flush=True)


PARTS: dict[str, Callable[[Reader], None]] = {
    "banking": _intents,
    "clinc": _clinc,
    "few": _few,
    "pretend": _pretend,
    "tracer": _tracer,
    "gsm8k": _prehoc,
}


def main() -> int:
    """Run the parts whose data is there; say which is not."""
    parser = argparse.ArgumentParser(prog="make bench-routing", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--vectors", type=Path, default=_VECTORS, help="where vectors are kept")
    options = parser.parse_args()
    try:
        encoder = SentenceEncoder(AutoConfig().max_tokens)
    except EncoderMissing as error:
        print(f"Skipped: {error}")
        return 0
    today = dt.datetime.now(dt.UTC).date()
    print(f"{today}, {platform.machine()}, {os.cpu_count()} cores, encoder {encoder.name}")
    reader = Reader(encoder, VectorCache(options.vectors, keep=32))
    for name in options.only:
        try:
            PARTS[name](reader)
        except DataMissing as missing:
            print(f"\nSkipped {name}: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
