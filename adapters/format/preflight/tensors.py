"""Checks of the tensors: names and shapes against the configuration and the base, then the numbers.

vLLM compares only the last component of a module's path and copies whatever is smaller than its
slot into a corner of it, so an adapter for another base can load and do nothing or harm. Here full
paths and exact shapes must agree. It loads NaN without a word, and zeros as if they were something.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping

from adapters.format.base_model import is_embedding_or_head, layer_index
from adapters.format.manifest import WEIGHTS_FILE
from adapters.format.preflight.config import module_ranks
from adapters.format.preflight.modules import Targets
from adapters.format.preflight.subject import (
    PREFIX,
    Finding,
    Subject,
    failed,
    follows_grammar,
    passed,
    some,
    verdict,
)

ALLOWED_DTYPES = frozenset({"F32", "F16", "BF16"})
_MAX_SUGGESTIONS = 3
_EMPTY_SHARDS = (
    "Empty tensors are what DeepSpeed's ZeRO-3 leaves when it saves without gathering: convert the"
    " checkpoint with its zero_to_fp32.py, or train with stage3_gather_16bit_weights_on_model_save."
)
_ODD_NAMES: Mapping[str, str] = {
    "lora_magnitude_vector": "a DoRA magnitude",
    "lora_embedding_": "an embedding LoRA",
    "modules_to_save": "a whole saved module",
    ".base_layer.": "a weight of the base",
    ".lora_A.default.": "PEFT's in-memory name; save with save_pretrained",
    ".lora_B.default.": "PEFT's in-memory name; save with save_pretrained",
    ".bias": "a bias",
}


def _safetensors_header(subject: Subject) -> Finding:
    expected = "a header that agrees with its file"
    if isinstance(subject.header_outcome, Exception):
        return failed(
            subject.header_outcome, expected, f"{WEIGHTS_FILE} is damaged: save or copy it again."
        )
    return passed(f"{len(subject.header_outcome.tensors)} tensors", expected)


def _safetensors_metadata(subject: Subject) -> Finding:
    metadata = subject.header.metadata
    size = sum(len(key.encode()) + len(text.encode()) for key, text in metadata.items())
    limit = subject.limits.max_metadata_bytes
    if size > limit:
        return failed(f"{size} bytes", f"at most {limit}", "Save without the large metadata.")
    return passed(f"{size} bytes", f"at most {limit}")


def _tensor_names(subject: Subject) -> Finding:
    names = subject.header.tensors
    return verdict(
        (f"{name[:120]}{_oddity(name)}" for name in names if not follows_grammar(name)),
        "<module path>.lora_A.weight and .lora_B.weight only",
        "Only plain LoRA pairs on linear modules can be served.",
    )


def _oddity(name: str) -> str:
    kinds = (what for part, what in _ODD_NAMES.items() if part in name)
    kind = next(kinds, None)
    return f" ({kind})" if kind else ""


def _module_prefix(subject: Subject) -> Finding:
    bare = (name for name in subject.header.tensors if not name.startswith(PREFIX))
    return verdict(
        (name[:120] for name in bare),
        f"{PREFIX}<module path>",
        "Without PEFT's prefix the engine finds no module and serves the base unchanged: save"
        " with PEFT's save_pretrained.",
    )


def _no_embedding_lora(subject: Subject) -> Finding:
    names = subject.header.tensors
    return verdict(
        (name[:120] for name in names if is_embedding_or_head(name) or "lora_embedding_" in name),
        "linears of the transformer's layers",
        "LoRA on embeddings or on the output head is not served: leave them out of target_modules.",
    )


def _module_paths(subject: Subject) -> Finding:
    linears = subject.base.linears
    unknown = [module for module in subject.pairs if module not in linears]
    if not unknown:
        return passed(f"{len(subject.pairs)} modules", "modules of the base")
    near = difflib.get_close_matches(unknown[0], linears, n=_MAX_SUGGESTIONS)
    return failed(
        "",
        f"modules of {subject.base.base_id}; near: {some(near) or 'none'}",
        "The adapter was trained for a model with other module paths.",
        unknown,
    )


def _layer_range(subject: Subject) -> Finding:
    layers = subject.base.num_layers
    indices = ((module, layer_index(module)) for module in subject.pairs)
    return verdict(
        (module for module, index in indices if index is not None and index >= layers),
        f"layers 0 to {layers - 1}",
        "The adapter was trained for a model with more layers.",
    )


def _tensor_pairs(subject: Subject) -> Finding:
    if not subject.pairs:
        return failed("no LoRA pair", "an A and a B for every module", "The adapter is empty.")
    return verdict(
        (
            f"{module} has only lora_{next(iter(sides))}"
            for module, sides in subject.pairs.items()
            if len(sides) == 1
        ),
        "an A and a B for every module",
        "Half of a pair is missing: the file was cut or saved from part of the model.",
    )


def _tensor_shapes(subject: Subject) -> Finding:
    other = (
        "The adapter was trained for a model with other sizes, or its rank is not the stated one."
    )
    empty = any(0 in info.shape for _, _, info in subject.loras)
    return verdict(
        _wrong_shapes(subject),
        "A of (rank, in) and B of (out, rank)",
        _EMPTY_SHARDS if empty else other,
    )


def _wrong_shapes(subject: Subject) -> Iterator[str]:
    rank_of = module_ranks(subject)
    for module, side, info in subject.loras:
        features = subject.base.linears.get(module)
        if features is None:
            continue  # module-paths says so
        rank = rank_of(module)
        expected = (rank, features[1]) if side == "A" else (features[0], rank)
        if info.shape != expected:
            yield f"{module}.lora_{side} is {list(info.shape)}, expected {list(expected)}"


def _target_modules_agree(subject: Subject) -> Finding:
    targets = Targets(subject.config)
    try:
        problems = [*_missing_targets(subject, targets), *_extra_tensors(subject, targets)]
    except ValueError as error:
        return failed(error, "an expression that can be evaluated", "Simplify target_modules.")
    return verdict(
        problems,
        "tensors for every module that target_modules selects, and for no other",
        "The weights are not those that the configuration describes.",
    )


def _missing_targets(subject: Subject, targets: Targets) -> Iterator[str]:
    # Which linears the shorthand meant depends on the library that trained; nothing to compare.
    if not subject.has_base or targets.everything:
        return
    for module in subject.base.linears:
        if module not in subject.pairs and targets.selects(module):
            yield f"{module} has no tensors"


def _extra_tensors(subject: Subject, targets: Targets) -> Iterator[str]:
    for module in subject.pairs:
        if not targets.selects(module):
            yield f"{module} is not a target"


def _tensor_dtypes(subject: Subject) -> Finding:
    tensors = subject.header.tensors.values()
    return verdict(
        (f"{info.name} is {info.dtype}" for info in tensors if info.dtype not in ALLOWED_DTYPES),
        ", ".join(sorted(ALLOWED_DTYPES)),
        "Save the adapter in float32, float16 or bfloat16.",
    )


def _finite(subject: Subject) -> Finding:
    return verdict(
        (name for name, stats in subject.stats.items() if not stats.finite),
        "finite numbers",
        "NaN or infinity in the weights: the training run diverged.",
    )


def _magnitude(subject: Subject) -> Finding:
    limit = subject.limits.max_magnitude
    return verdict(
        (
            f"{name} reaches {stats.max_abs:.3g}"
            for name, stats in subject.stats.items()
            if stats.finite and stats.max_abs > limit
        ),
        f"absolute values up to {limit:g}",
        "Such weights do not come from training: the file is damaged, or the run diverged.",
    )


def _effect(subject: Subject) -> Finding:
    stats = subject.stats
    pairs = [
        (sides["A"].name, sides["B"].name)
        for sides in subject.pairs.values()
        if len(sides) == 2 and all(info.name in stats for info in sides.values())
    ]
    live = sum(not stats[a].zero and not stats[b].zero for a, b in pairs)
    expected = "at least one pair in which neither A nor B is zero"
    if live:
        return passed(f"{live} of {len(pairs)} pairs", expected)
    return failed(
        f"0 of {len(pairs)} pairs", expected, "The adapter changes nothing: it was never trained."
    )


CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "safetensors-header": _safetensors_header,
    "safetensors-metadata": _safetensors_metadata,
    "tensor-names": _tensor_names,
    "module-prefix": _module_prefix,
    "no-embedding-lora": _no_embedding_lora,
    "module-paths": _module_paths,
    "layer-range": _layer_range,
    "tensor-pairs": _tensor_pairs,
    "tensor-shapes": _tensor_shapes,
    "target-modules-agree": _target_modules_agree,
    "tensor-dtypes": _tensor_dtypes,
    "finite": _finite,
    "magnitude": _magnitude,
    "effect": _effect,
}
