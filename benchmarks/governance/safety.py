"""Safety: what is missed, what is refused without need, and what looking costs.

    python -m benchmarks.governance.safety [DATA]

DATA is the folder of public data; by default `../shared/data` or `GRAFTWORK_DATA`. What is
measured here was not trained on: XSTest's even half, AdvBench's and PurpleLlama's odd rows, the
test parts of BANKING77, CLINC150 and HINT3, Bitext's odd rows, XQuAD's odd articles, and
`directives.txt`: what tools and people tell models about their job, in words of our own.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from router.embed.threads import Threads
from router.govern.safety.answers import OVERLAP, STEP
from router.govern.safety.checks import HARM, INJECTION, Case, Check, Passage, Source
from router.govern.safety.linear import words
from router.govern.safety.local import Classifier, ClassifierModels, parts
from router.govern.safety.rules import InjectionRules
from router.wire.characters import normalised

_TARGET_FALSE: Final = 0.01
_REPEATS: Final = 200


def _rows(path: Path, column: str) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file)]


class Sets:
    """The texts, by what should become of them."""

    def __init__(self, data: Path) -> None:
        clinc = json.loads((data / "clinc150_full.json").read_text())
        with (data / "xstest_prompts_even.csv").open(newline="", encoding="utf-8") as file:
            tests = list(csv.DictReader(file))
        self.safe = [row["prompt"] for row in tests if row["label"] == "safe"]
        self.unsafe = [row["prompt"] for row in tests if row["label"] != "safe"]
        self.advbench = _rows(data / "advbench_harmful_behaviors.csv", "goal")[1::2]
        self.everyday = {
            "BANKING77": _rows(data / "banking77_test.csv", "text"),
            "CLINC150": [text for text, _ in [*clinc["test"], *clinc["oos_test"]]],
            "Bitext": _rows(data / "bitext_customer_service_train.csv", "utterance")[1::2],
            "HINT3": _rows(data / "hint3_sofmattress_test.csv", "sentence"),
        }
        purple = json.loads((data / "purplellama_prompt_injection.json").read_text())[1::2]
        self.direct = [c["user_input"] for c in purple if c["injection_type"] == "direct"]
        self.indirect = [c["user_input"] for c in purple if c["injection_type"] != "direct"]
        directives = Path(__file__).with_name("directives.txt").read_text(encoding="utf-8")
        self.directives = directives.splitlines()
        articles = json.loads((data / "xquad_en_even_articles.json").read_text())["data"]
        self.paragraphs = [p["context"] for each in articles[1::2] for p in each["paragraphs"]]


async def caught(
    checks: Sequence[Check], texts: Sequence[str], kind: str, source: Source
) -> list[bool]:
    """For each text, whether it is found to be of a kind."""
    found = []
    for text in texts:
        case = Case([Passage(text, source)])
        findings = [each for check in checks for each in await check.judge(case)]
        found.append(any(each.category == kind for each in findings))
    return found


def _share(found: Sequence[bool]) -> str:
    return f"{100 * sum(found) / len(found):5.1f} % ({sum(found)} of {len(found)})"


async def harm(checks: Sequence[Check], sets: Sets) -> None:
    """Over-refusal and misses."""
    print("Harm: refused without need")
    refused = await caught(checks, sets.safe, HARM, Source.USER)
    print(f"  XSTest, safe           {_share(refused)}")
    for text in [t for t, is_refused in zip(sets.safe, refused, strict=True) if is_refused]:
        print(f"      {text}")
    for name, texts in sets.everyday.items():
        print(f"  {name:<22} {_share(await caught(checks, texts, HARM, Source.USER))}")
    print("Harm: missed")
    for name, texts in (("XSTest, unsafe", sets.unsafe), ("AdvBench, odd rows", sets.advbench)):
        found = await caught(checks, texts, HARM, Source.USER)
        print(f"  {name:<22} {_share([not each for each in found])}")


async def injection(checks: Sequence[Check], sets: Sets, models: ClassifierModels) -> None:
    """Recall as shipped, and at 1 % false positives on what only looks alike."""
    print("Injections: refused without need")
    negatives = {"XSTest, safe": sets.safe, **sets.everyday, "XQuAD paragraphs": sets.paragraphs}
    for name, texts in negatives.items():
        source = Source.UNTRUSTED if "XQuAD" in name else Source.USER
        print(f"  {name:<22} {_share(await caught(checks, texts, INJECTION, source))}")
    told = await caught(checks, sets.directives, INJECTION, Source.USER)
    print(f"  {'directives':<22} {_share(told)}")
    scores = sorted(_scores(models, [text for texts in negatives.values() for text in texts]))
    bound = scores[int(len(scores) * (1 - _TARGET_FALSE))]
    print("Injections: found, as shipped; by the classifier alone at 1 % false positives")
    for name, texts in (("direct", sets.direct), ("indirect", sets.indirect)):
        source = Source.UNTRUSTED if name == "indirect" else Source.USER
        found = await caught(checks, texts, INJECTION, source)
        at_one = [score > bound for score in _scores(models, texts)]
        print(f"  PurpleLlama, {name:<9} {_share(found)}; {_share(at_one)}")


def _scores(models: ClassifierModels, texts: Sequence[str]) -> list[float]:
    return [
        max(models.injection.find(words(part))[0] for part in parts(normalised(text).text))
        for text in texts
    ]


async def answers(classifier: Classifier, sets: Sets) -> None:
    """Encyclopedic answers, which have the words of harm; read only where a prompt is in doubt."""
    stopped = []
    for text in sets.paragraphs:
        cases = [Case([Passage(step, Source.ANSWER)]) for step in _steps(text)]
        stopped.append(any([bool(await classifier.judge(case)) for case in cases]))
    print(f"Answers stopped, if every one were read\n  XQuAD paragraphs       {_share(stopped)}")
    for name, texts in sets.everyday.items():
        await classifier.judge(Case([Passage(text, Source.USER) for text in texts[:1000]]))
        doubted = [classifier.in_doubt([Passage(text, Source.USER)]) for text in texts[:1000]]
        print(f"  read, after {name:<10} {_share(doubted)}")


def _steps(text: str) -> Iterator[str]:
    kept = ""
    for at in range(0, len(text), STEP):
        kept = kept[-OVERLAP:] + text[at : at + STEP]
        yield kept


async def cost(models: ClassifierModels, sets: Sets) -> None:
    """Microseconds of CPU on the event loop, of a prompt that nobody saw before."""
    everyday = sets.everyday["BANKING77"]
    for count in (12, 150, 500):
        text = " ".join(everyday)
        text = " ".join(text.split()[: round(count / 1.3)])  # about 1.3 tokens a word
        case = Case([Passage(text, Source.USER)])
        threads = Threads("bench")
        rules, whole = [], []
        for _ in range(_REPEATS):
            classifier = Classifier(models, threads)
            began = time.perf_counter()
            await InjectionRules(threads).judge(case)
            rules.append(time.perf_counter() - began)
            classifier.read(text, Source.USER)
            whole.append(time.perf_counter() - began)
        threads.close()
        low, both = statistics.median(rules) * 1e6, statistics.median(whole) * 1e6
        print(f"  {count:>4} tokens: rules {low:6.0f} us, rules and classifier {both:6.0f} us")
    text = sets.unsafe[0]
    began = time.perf_counter()
    for _ in range(_REPEATS // 4):
        models.encoder.encode([text])
    print(f"  a doubt, in a thread: {(time.perf_counter() - began) * 4e3 / _REPEATS:.1f} ms")


async def measure(data: Path) -> None:
    """All of it."""
    sets, models, threads = Sets(data), ClassifierModels.packaged(), Threads("bench")
    classifier = Classifier(models, threads)
    checks: list[Check] = [InjectionRules(threads), classifier]
    await harm(checks, sets)
    await injection(checks, sets, models)
    await answers(classifier, sets)
    print("Cost, p50")
    await cost(models, sets)
    threads.close()


def main(arguments: Sequence[str]) -> None:
    """Print the section, or why there is none."""
    default = os.environ.get("GRAFTWORK_DATA", "../shared/data")
    data = Path(arguments[0] if arguments else default)
    if not (data / "xstest_prompts_even.csv").is_file():
        print(f"safety: no public data in {data}; set GRAFTWORK_DATA")
        return
    asyncio.run(measure(data))


if __name__ == "__main__":
    main(sys.argv[1:])
