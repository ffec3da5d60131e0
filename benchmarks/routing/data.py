"""The public data sets, read from `../shared/data` or the folder that GRAFTWORK_DATA names.

Sources and licences: BANKING77, PolyAI-LDN/task-specific-datasets, CC BY 4.0; CLINC150,
clinc/oos-eval, CC BY 3.0; Bitext's customer service set, CDLA-Sharing-1.0; GSM8K answers of two
models, lm-sys/RouteLLM, Apache-2.0. None of it is part of the product.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

from router.intent.examples import OUT_OF_SCOPE, Example, from_file

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
_WEAK = "mistralai/Mixtral-8x7B-Instruct-v0.1"
_STRONG = "gpt-4-1106-preview"


class DataMissing(Exception):
    """A data set is not there; the message names the file."""


@dataclass(frozen=True)
class Problem:
    """A GSM8K problem, and whether the weak and the strong model solved it."""

    text: str
    weak: bool
    strong: bool
    answer: str = ""
    """What the weak model said."""


def folder() -> Path:
    """Where the data sets are."""
    return Path(os.environ.get("GRAFTWORK_DATA", _DEFAULT))


def _file(name: str) -> Path:
    path = folder() / name
    if not path.is_file():
        raise DataMissing(f"{path} is not there; GRAFTWORK_DATA names the folder of the data.")
    return path


def banking77(split: str) -> list[Example]:
    """10,003 (train) or 3,080 (test) questions to a bank, 77 intents."""
    return from_file(_file(f"banking77_{split}.csv"))


def clinc150(*splits: str) -> list[Example]:
    """Questions to an assistant, 150 intents; the splits ``oos_*`` have none of them."""
    document = json.loads(_file("clinc150_full.json").read_text())
    rows = [row for split in splits for row in document[split]]
    return [Example(text, None if label == OUT_OF_SCOPE else label) for text, label in rows]


def bitext() -> list[Example]:
    """6,480 questions to a shop's customer service, 27 intents, from templates."""
    with _file("bitext_customer_service_train.csv").open(encoding="utf-8", newline="") as lines:
        return [Example(row["utterance"], row["intent"]) for row in csv.DictReader(lines)]


def gsm8k() -> list[Problem]:
    """1,319 grade-school problems (the test set) with the outcomes of Mixtral and GPT-4."""
    with _file("routellm_gsm8k_responses.csv").open(encoding="utf-8", newline="") as lines:
        return [
            Problem(
                row["prompt"],
                row[_WEAK] == "True",
                row[_STRONG] == "True",
                row[f"{_WEAK}_response"],
            )
            for row in csv.DictReader(lines)
        ]
