"""Checks for PEFT features that vLLM refuses, or worse, quietly leaves out.

One row per feature. What no row and no list names must be off: a setting that a later PEFT invents
is refused until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.format.preflight.report import Finding, failed, passed, verdict
from adapters.format.preflight.subject import Subject

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
    **{name: _check_of(feature) for name, feature in FEATURES.items()},
    "unknown-features": _unknown_features,
}
