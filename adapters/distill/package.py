"""What training made, as a version that may be pushed: checked, described, signed with a key.

The manifest says what the adapter was made of, and holds golden log probabilities: what the trained
model gave for a few texts, so that an engine that computes something else is found out. The texts
are ours and nobody's data: the manifest is read by everybody who may see the adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from adapters.distill.job import Job, JobError, Outcome
from adapters.format.base_model import BaseFacts
from adapters.format.manifest import (
    Golden,
    Manifest,
    complete_manifest,
    sign_manifest,
    write_manifest,
)
from adapters.format.preflight import PreflightLimits, preflight

MODEL_CARD = "README.md"
ASKED: Final = (
    ("What can you help me with?", "I can help you with that. Tell me the number, please."),
    ("Is it possible within 30 days?", "Yes, within 30 days. No, after that it is not."),
    ("hello", '{"id": 4, "name": "none"}'),
)
"""Neutral turns whose tokens are scored."""
_TOLERANCE_NATS: Final = 0.5
"""Kernels and batches move bfloat16's log probabilities by less (0.28 measured on an H100)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One text, with the log probabilities of its tokens after the first."""

    text: str
    trained: Sequence[float]
    base: Sequence[float]
    """The same without the adapter."""


def golden(scored: Sequence[Scored]) -> tuple[Golden, ...]:
    """Those texts that tell the adapter from its base by more than the tolerance."""
    return tuple(
        Golden(prompt=each.text, logprobs=tuple(each.trained), tolerance=_TOLERANCE_NATS)
        for each in scored
        if _apart(each) > 2 * _TOLERANCE_NATS
    )


def _apart(scored: Scored) -> float:
    pairs = zip(scored.trained, scored.base, strict=True)
    return max((abs(ours - theirs) for ours, theirs in pairs), default=0.0)


def complete(directory: Path, job: Job, base: BaseFacts, marks: Sequence[Golden]) -> Manifest:
    """Write manifest and its digest beside the weights. Raises ``AdapterError``, ``OSError``."""
    given = Manifest(
        base_model=job.base_id,
        intents=job.intents,
        training_dataset=job.dataset,
        parent=job.parent,
        author=job.author,
        golden=tuple(marks) or None,
    )
    write_manifest(directory, given)
    manifest = complete_manifest(
        directory,
        job.alias,
        base_id=job.base_id,
        base_digest=base.digest,
        now=datetime.now(UTC).replace(microsecond=0),
    )
    write_manifest(directory, manifest)
    return manifest


def describe(
    directory: Path, manifest: Manifest, job: Job, outcome: Outcome, training: Mapping[str, Any]
) -> Manifest:
    """Add how it was trained to manifest and card, and sign. Raises as ``complete`` does."""
    evaluation = {**manifest.evaluation, "training": dict(training)}
    described = manifest.model_copy(update={"evaluation": evaluation})
    if job.signing_key is not None:
        described = sign_manifest(described, job.signing_key.read_bytes())
    write_manifest(directory, described)
    (directory / MODEL_CARD).write_text(model_card(described, job, outcome), encoding="utf-8")
    return described


def require_servable(directory: Path, job: Job, base: BaseFacts) -> None:
    """Raise ``JobError`` for a version that the intake would refuse, naming the checks."""
    limits = PreflightLimits(max_lora_rank=job.max_rank)
    report = preflight(directory, base, limits, alias=job.alias)
    if not report.ok:
        failed = [f"{check.name} ({check.found})" for check in report.checks if not check.ok]
        raise JobError(f"what was trained cannot be served: {', '.join(failed)}")


def model_card(manifest: Manifest, job: Job, outcome: Outcome) -> str:
    """What a person wants to know first, as Markdown with the front matter that hubs read."""
    head = {
        "base_model": job.base_id,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "graftwork", *job.intents],
    }
    facts = {
        "version": manifest.digest,
        "base model": f"{job.base_id} (`{manifest.base_digest}`)",
        "rank": manifest.rank,
        "target modules": ", ".join(manifest.target_modules),
        "intents": ", ".join(job.intents),
        "training dataset": job.dataset,
        "rows trained on": outcome.examples,
        "tokens of one pass": outcome.tokens,
        "steps": outcome.steps,
        "loss, nats a token": _rounded(outcome.loss),
        "held-out loss, before and after": _pair(outcome),
        "teachers": ", ".join(job.teachers),
        "parent version": job.parent,
        "author": job.author,
    }
    rows = [f"| {key} | {value} |" for key, value in facts.items() if value not in {None, ""}]
    settings = [f"| {key} | {value} |" for key, value in outcome.settings.items()]
    notes = [f"- {note}" for note in outcome.notes] or ["- nothing"]
    return "\n".join(
        [
            "---", yaml.safe_dump(head, sort_keys=False).strip(), "---",
            f"# {job.alias}", "",
            "A LoRA adapter, trained on answers that people reviewed. It answers what it was"
            " trained for; for anything else ask its base.", "",
            "| | |", "| --- | --- |", *rows, "",
            "## Settings", "", "| | |", "| --- | --- |", *settings, "",
            "## Left out", "", *notes, "",
            "## Use", "",
            "vLLM: `--enable-lora --lora-modules NAME=DIRECTORY`; PEFT:"
            " `PeftModel.from_pretrained(base, DIRECTORY)`. Prompts go through the base's own chat"
            " template. `graftwork.json` says what it was made of and tested by.", "",
        ]
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _pair(outcome: Outcome) -> str:
    if outcome.validation_loss is None or outcome.first_validation_loss is None:
        return ""
    return f"{outcome.first_validation_loss:.4f}, {outcome.validation_loss:.4f}"
