"""Checks of ``adapter_config.json``: kind, modules, rank, scale, and what vLLM would not do.

Features that vLLM refuses, or quietly leaves out, have one row each. What no row and no list names
must be off: a setting that a later PEFT invents is refused until somebody has looked at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.format.preflight.modules import MAX_PATTERNS, ModuleValues
from adapters.format.preflight.subject import Finding, NotChecked, Subject, failed, passed, verdict

# False in PEFT's configuration class; a string "false" would be true to whoever reads it.
_SWITCHES = (
    "ensure_weight_tying",
    "fan_in_fan_out",
    "inference_mode",
    "lora_bias",
    "use_dora",
    "use_qalora",
    "use_rslora",
)
_MAPS = ("alpha_pattern", "rank_pattern")
_LISTS = ("exclude_modules", "layers_pattern", "modules_to_save")


def _adapter_config(subject: Subject) -> Finding:
    expected = f"a JSON object of at most {subject.limits.max_config_bytes} bytes"
    if isinstance(subject.config_outcome, Exception):
        return failed(
            subject.config_outcome, expected, "adapter_config.json cannot be read as PEFT's."
        )
    return passed(f"{len(subject.config_outcome)} settings", expected)


def _config_types(subject: Subject) -> Finding:
    return verdict(
        _wrong_types(subject.config),
        "true or false for switches, maps for patterns, lists or text for names",
        "Write the configuration with PEFT's save_pretrained.",
    )


def _wrong_types(config: Mapping[str, Any]) -> Iterator[str]:
    for key in _SWITCHES:
        if not isinstance(config.get(key, False), bool | None):
            yield f"{key} is {config[key]!r}"
    for key in _MAPS:
        if not isinstance(config.get(key, {}), dict | None):
            yield f"{key} is {type(config[key]).__name__}"
    for key in _LISTS:
        if not is_name_list(config.get(key)) and not isinstance(config.get(key), str | None):
            yield f"{key} is not a list of names"


def _peft_type(subject: Subject) -> Finding:
    found = subject.config.get("peft_type")
    if found == "LORA":
        return passed(found, "LORA")
    return failed(repr(found), "LORA", "Only LoRA adapters can be served.")


def _task_type(subject: Subject) -> Finding:
    found = subject.config.get("task_type")
    expected = "CAUSAL_LM, or not stated"
    if found in {"CAUSAL_LM", None}:
        return passed(found, expected)
    return failed(repr(found), expected, "Only adapters of causal language models are served.")


def _rank(subject: Subject) -> Finding:
    largest = subject.limits.max_lora_rank
    found = subject.config.get("r")
    expected = f"1 to {largest}"
    if _is_rank(found, largest):
        return passed(found, expected)
    return failed(
        repr(found), expected, "Train with a smaller r, or raise the server's max_lora_rank."
    )


def _rank_pattern(subject: Subject) -> Finding:
    largest = subject.limits.max_lora_rank
    patterns = pattern_map(subject.config, "rank_pattern")
    return verdict(
        _pattern_problems(subject, patterns, lambda rank: _is_rank(rank, largest)),
        f"quick patterns with ranks of 1 to {largest}",
        "Give plain module names or simple patterns, and ranks within the server's limit.",
    )


def _rank_pattern_once(subject: Subject) -> Finding:
    return subject.once("rank-pattern", lambda: _rank_pattern(subject))


def _alpha(subject: Subject) -> Finding:
    found: Any = subject.config.get("lora_alpha")
    rank: Any = subject.config.get("r")
    expected = f"a positive number, at most {subject.limits.max_scale:g} times the rank"
    if not _is_positive(found):
        return failed(repr(found), expected, "lora_alpha must be a finite, positive number.")
    if _is_positive(rank) and _scale(subject.config, found, rank) > subject.limits.max_scale:
        return failed(
            f"{found} with rank {rank}", expected, "This scale would drown the base's answers."
        )
    return passed(found, expected)


def _alpha_pattern(subject: Subject) -> Finding:
    config, limit = subject.config, subject.limits.max_scale
    # Against rank 1: no module can scale more than that.
    return verdict(
        _pattern_problems(
            subject,
            pattern_map(config, "alpha_pattern"),
            lambda alpha: _is_positive(alpha) and _scale(config, alpha, 1) <= limit,
        ),
        f"quick patterns with finite, positive numbers up to {limit:g}",
        "Give plain module names or simple patterns, and positive numbers.",
    )


def _target_modules(subject: Subject) -> Finding:
    found = subject.config.get("target_modules")
    expected = "a list of module names, or one pattern"
    if (isinstance(found, str) and found) or (is_name_list(found) and found):
        return passed(found, expected)
    return failed(repr(found), expected, "Name the modules that the adapter changes.")


def is_name_list(value: Any) -> bool:
    """Whether a value is a list of non-empty strings; an empty list is one."""
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def pattern_map(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """``rank_pattern`` or ``alpha_pattern``; ``NotChecked`` when it is not a map."""
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise NotChecked("see config-types")
    return value


def module_ranks(subject: Subject) -> Callable[[str], int]:
    """The rank that PEFT gives to a module; ``NotChecked`` while the ranks themselves are bad."""
    if not _rank(subject).ok or not _rank_pattern_once(subject).ok:
        raise NotChecked("see rank and rank-pattern")
    own = ModuleValues(pattern_map(subject.config, "rank_pattern"))

    def rank(module: str) -> int:
        value = own.value(module)
        return int(subject.config["r"] if value is None else value)

    return rank


def _pattern_problems(
    subject: Subject, patterns: Mapping[str, Any], accepts: Callable[[Any], bool]
) -> Iterator[str]:
    for key, value in patterns.items():
        if not accepts(value):
            yield f"{key[:80]}: {value!r}"
    if len(patterns) > MAX_PATTERNS:
        yield f"{len(patterns)} patterns, of which the engine takes {MAX_PATTERNS} without a stall"
        return
    values = ModuleValues(patterns)
    modules = [] if isinstance(subject.header_outcome, Exception) else list(subject.pairs)
    try:
        # Keys are tried even without modules, to find malformed ones.
        for module in modules or ["model"]:
            values.value(module)
    except ValueError as error:
        yield str(error)


def _scale(config: Mapping[str, Any], alpha: float, rank: float) -> float:
    return alpha / (math.sqrt(rank) if config.get("use_rslora") is True else rank)


def _is_rank(value: Any, largest: int) -> bool:
    return type(value) is int and 1 <= value <= largest


def _is_positive(value: Any) -> bool:
    return type(value) in {int, float} and 0 < value < 1e12


# These only choose the adapter's starting weights; a saved adapter is plain LoRA.
HARMLESS_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})

_KNOWN_FIELDS = frozenset(
    {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "lora_ga_config",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
        "use_rslora",
    }
)


@dataclass(frozen=True)
class Feature:
    """A feature is in use when ``in_use`` says so of its setting."""

    setting: str
    message: str
    expected: str = "not used"
    in_use: Callable[[Any], bool] = bool


def _unsafe_init(value: Any) -> bool:
    return isinstance(value, str) and value.lower() not in HARMLESS_INITS


FEATURES: Mapping[str, Feature] = {
    "feature-dora": Feature("use_dora", "DoRA's magnitudes are not applied by the engine."),
    "feature-bias": Feature(
        "bias",
        "Trained biases are not applied by the engine.",
        expected="none",
        in_use=lambda value: value not in {None, "none"},
    ),
    "feature-lora-bias": Feature("lora_bias", "LoRA biases are not applied by the engine."),
    "feature-modules-to-save": Feature(
        "modules_to_save", "Whole trained modules cannot be swapped into the engine."
    ),
    "feature-init": Feature(
        "init_lora_weights",
        "This initialisation changes the base's own weights: convert the adapter with PEFT's"
        " path_initial_model_for_weight_conversion.",
        expected=f"true, false or one of {', '.join(sorted(HARMLESS_INITS))}",
        in_use=_unsafe_init,
    ),
    "feature-layer-replication": Feature(
        "layer_replication", "The engine cannot replicate layers for one adapter."
    ),
    "feature-qalora": Feature("use_qalora", "QALoRA's pooling is not applied by the engine."),
    "feature-alora": Feature(
        "alora_invocation_tokens", "Activated LoRA is not applied by the engine."
    ),
    "feature-trainable-tokens": Feature(
        "trainable_token_indices", "Trained embeddings are not applied by the engine."
    ),
    "feature-target-parameters": Feature(
        "target_parameters", "LoRA on bare parameters is not served; target linear modules."
    ),
    "feature-megatron": Feature("megatron_config", "Megatron's parallel linears are not served."),
    "feature-bdlora": Feature("use_bdlora", "Block-diagonal LoRA is not served."),
    "feature-loftq": Feature("loftq_config", "LoftQ changes the base's own weights."),
    "feature-corda": Feature("corda_config", "CorDA changes the base's own weights."),
    "feature-arrow": Feature("arrow_config", "Arrow routes between adapters itself."),
    "feature-fan-in-fan-out": Feature(
        "fan_in_fan_out", "Transposed linears are not served.", in_use=lambda value: value is True
    ),
}
_IGNORED_WITH = frozenset({"megatron_core"})


def _check_of(feature: Feature) -> Callable[[Subject], Finding]:
    def check(subject: Subject) -> Finding:
        value = subject.config.get(feature.setting)
        if feature.in_use(value):
            return failed(f"{feature.setting} = {value!r}", feature.expected, feature.message)
        return passed("", feature.expected)

    return check


def _unknown_features(subject: Subject) -> Finding:
    rows = {feature.setting for feature in FEATURES.values()}
    known = _KNOWN_FIELDS | _IGNORED_WITH | rows
    return verdict(
        (
            f"{key[:80]} = {value!r:.80}"
            for key, value in subject.config.items()
            if key not in known and value
        ),
        "no setting that this version does not know",
        "The engine may leave this out without a word. Train without it.",
    )


CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "adapter-config": _adapter_config,
    "config-types": _config_types,
    "peft-type": _peft_type,
    "task-type": _task_type,
    "rank": _rank,
    "rank-pattern": _rank_pattern_once,
    "alpha": _alpha,
    "alpha-pattern": _alpha_pattern,
    "target-modules": _target_modules,
    **{name: _check_of(feature) for name, feature in FEATURES.items()},
    "unknown-features": _unknown_features,
}
