"""Checks of names and of what the adapter says about itself: vocabulary, manifest, base, signature.

The rule of ``declared-base``:

1. The manifest states ``base_digest``: it must be the served base's, whatever names say.
2. Else the name in ``base_model_name_or_path`` (or the manifest's ``base_model``) counts. It must
   be the base's id or one of its other names, letter case aside, or a mirror of one: the same
   model's name under another organisation, or with a quantisation's suffix, as QLoRA trainers write
   it. That shapes and paths fit, other checks prove.
3. No name, or a local path (PEFT writes where the base lay on the training machine): nothing was
   declared, and paths and shapes alone decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.errors import SignatureError
from adapters.evaluation import EXAMPLE, gate_result
from adapters.format.base_model import is_local_path
from adapters.format.files import is_regular, parse_json_object, read_bounded
from adapters.format.manifest import MANIFEST_FILE, Manifest, declared_targets, largest_rank
from adapters.format.manifest import verify_signature as verify
from adapters.format.names import means_otherwise
from adapters.format.preflight.subject import Finding, NotChecked, Subject, failed, passed, verdict

_QUANTISATION = re.compile(
    r"[-_.](unsloth|dynamic|bnb|nf4|fp[48]|bf16|fp16|f16|[48]-?bits?|int[48]|w[48]a(8|16)"
    r"|gptq|awq|hqq|eetq|gguf|mlx|quantized|hf)$"
)


def _alias_name(subject: Subject) -> Finding:
    alias = subject.alias
    if alias is None:
        raise NotChecked("no alias was given")
    base = subject.base.base_id if subject.has_base else None
    other = means_otherwise(alias, subject.limits.taken_names, base)
    expected = "a name that means nothing else in a request's model"
    if other is None:
        return passed(repr(alias), expected)
    return failed(
        other,
        expected,
        "Whoever names it could not know who answers. Push under another alias.",
    )


def _vocabulary(subject: Subject) -> Finding:
    size = subject.base.vocab_size
    expected = f"token ids below {size}"
    try:
        largest = max(_token_ids(subject), default=-1)
    except (OSError, ValueError) as error:
        return failed(error, expected, "The adapter's tokenizer files cannot be read.")
    if largest >= size:
        return failed(
            f"token id {largest}",
            expected,
            "The adapter was trained with added tokens, which the base does not have.",
        )
    return passed(f"largest id {largest}" if largest >= 0 else "no tokenizer", expected)


def _token_ids(subject: Subject) -> Iterator[int]:
    added = _tokenizer_json(subject, "added_tokens.json")
    yield from _integers(added.values())
    tokenizer = _tokenizer_json(subject, "tokenizer.json")
    for token in tokenizer.get("added_tokens") or ():
        yield from _integers([token.get("id")] if isinstance(token, dict) else ())
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from _integers(vocabulary.values())
    elif isinstance(vocabulary, list):
        yield len(vocabulary) - 1


def _tokenizer_json(subject: Subject, name: str) -> dict[str, Any]:
    path = subject.path / name
    if not is_regular(path):
        return {}
    return parse_json_object(read_bounded(path, subject.limits.max_tokenizer_bytes))


def _integers(values: Any) -> Iterator[int]:
    return (value for value in values if type(value) is int)


def _manifest(subject: Subject) -> Finding:
    outcome = subject.manifest_outcome
    if isinstance(outcome, Exception):
        return failed(outcome, "a manifest of this version, or none", f"Correct {MANIFEST_FILE}.")
    return passed("none" if outcome is None else "there", "a manifest of this version, or none")


def _given_manifest(subject: Subject) -> Manifest:
    manifest = subject.manifest
    if manifest is None:
        raise NotChecked(f"there is no {MANIFEST_FILE}")
    return manifest


def _manifest_digest(subject: Subject) -> Finding:
    stated = _given_manifest(subject).digest
    if stated is None:
        return passed("not stated", subject.digest)
    if stated == subject.digest:
        return passed(stated, subject.digest)
    return failed(
        stated,
        subject.digest,
        "The content is not what the manifest was written for: it was changed, or cut in copying.",
    )


def _manifest_alias(subject: Subject) -> Finding:
    stated = _given_manifest(subject).alias
    if subject.alias is None:
        raise NotChecked("no alias was given")
    if stated in {None, subject.alias}:
        return passed(stated or "not stated", subject.alias)
    return failed(
        repr(stated),
        subject.alias,
        "The manifest belongs to another alias: push it under that one, or correct it.",
    )


def _manifest_facts(subject: Subject) -> Finding:
    manifest = _given_manifest(subject)
    rank, targets = largest_rank(subject.config), declared_targets(subject.config)
    problems = []
    if manifest.rank is not None and manifest.rank != rank:
        problems.append(f"rank {manifest.rank}")
    if manifest.target_modules and tuple(sorted(manifest.target_modules)) != targets:
        problems.append(f"target modules {', '.join(manifest.target_modules)}")
    return verdict(
        problems,
        f"rank {rank}, target modules {', '.join(targets)}",
        "The manifest does not describe this configuration.",
    )


def _manifest_gate(subject: Subject) -> Finding:
    try:
        result = gate_result(_given_manifest(subject).evaluation)
    except ValueError as error:
        return failed(error, EXAMPLE, "Correct the gate's result in the manifest, or take it out.")
    if result is None:
        return passed("not stated", EXAMPLE)
    return passed(result.overall or f"{len(result.intents)} intents", EXAMPLE)


def _declared_base(subject: Subject) -> Finding:
    base, manifest = subject.base, subject.manifest
    if manifest is not None and manifest.base_digest is not None:
        if manifest.base_digest == base.digest:
            return passed(manifest.base_digest, base.digest)
        return failed(
            manifest.base_digest,
            base.digest,
            "The adapter was trained on other weights than the served base's: correct base_digest"
            f" in {MANIFEST_FILE} if that is wrong.",
        )
    name = _declared_name(subject.config.get("base_model_name_or_path"), manifest)
    if name is None:
        return passed("not declared", base.base_id)
    names = (base.base_id, *base.also_known_as)
    if name.casefold() in {known.casefold() for known in names}:
        return passed(name, base.base_id)
    if _model_of(name) in {_model_of(known) for known in names}:
        return passed(f"{name}, a mirror of the base", base.base_id)
    return failed(
        name,
        " or ".join(names),
        "The adapter says that it was trained on another base. If that is the same model under"
        f' another name, write {{"base_digest": "{base.digest}"}} into {MANIFEST_FILE} beside the'
        " adapter, or have the server know the name: base.also_known_as in its configuration.",
    )


def _model_of(name: str) -> str:
    """The model that a name means, without organisation, quantisation and spelling."""
    model = name.casefold().rstrip("/").rpartition("/")[2]
    while (shorter := _QUANTISATION.sub("", model)) != model:
        model = shorter
    return model.removeprefix("meta-").replace("_", "-").replace(".", "-")


def _declared_name(configured: Any, manifest: Manifest | None) -> str | None:
    stated = manifest.base_model if manifest is not None else None
    for name in (configured, stated):
        if isinstance(name, str) and name.strip() and not is_local_path(name):
            return name.strip()
    return None


def _signature(subject: Subject) -> Finding:
    limits, manifest = subject.limits, subject.manifest
    required = "valid, required" if limits.require_signature else "valid if there"
    if manifest is None or manifest.signature is None:
        if limits.require_signature:
            return failed("none", required, "This server takes signed adapters only.")
        return passed("none", required)
    if not limits.public_keys and not limits.require_signature:
        return passed("not verified: no public key is configured", required)
    try:
        verify(manifest, limits.public_keys)
    except SignatureError as error:
        return failed(error, required, error.remedy)
    return passed("valid", required)


NAMING: Mapping[str, Callable[[Subject], Finding]] = {"alias-name": _alias_name}
CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "vocabulary": _vocabulary,
    "manifest": _manifest,
    "manifest-digest": _manifest_digest,
    "manifest-alias": _manifest_alias,
    "manifest-facts": _manifest_facts,
    "manifest-gate": _manifest_gate,
    "declared-base": _declared_base,
    "signature": _signature,
}
