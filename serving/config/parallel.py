"""GPUs of one engine replica, and what the base's weights are packed in: checked before a start.

vLLM finds the same mistakes, minutes later, on the machine with the GPUs, or waits for ever for
GPUs that nobody gave it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from serving.config.settings import Settings
from serving.names import ENGINE

_VLLM: Final = "applications.0.args.engine.vllm"
_RAY: Final = "ray"
PACKED_AS: Final[dict[str, frozenset[str]]] = {
    "awq": frozenset({"awq", "auto_awq", "awq_marlin"}),
    "gptq": frozenset({"gptq", "auto_gptq", "gptq_marlin"}),
    "fp8": frozenset({"fp8"}),
    "compressed-tensors": frozenset({"compressed-tensors"}),
}
"""By what a checkpoint says of itself (`quant_method`), what `vllm.quantization` may say of it."""
AT_THE_START: Final = frozenset(
    {"fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only"}
)
"""What vLLM makes of a checkpoint in 16 bits while it loads it."""


def parallel_problems(application: Mapping[str, Any], settings: Settings) -> list[str]:
    """What is wrong with tensor parallelism and quantisation, one line each."""
    counts: list[int] = []
    problems = []
    for name in ("tensor_parallel_size", "pipeline_parallel_size"):
        value = settings.engine.vllm.get(name, 1)
        if type(value) is not int or value < 1:
            problems.append(f"{_VLLM}.{name}: must be a whole number from 1, got {value!r}")
            value = 1
        counts.append(value)
    config = _of_base(settings)
    problems += _gpus(application, settings, counts[0] * counts[1])
    problems += _divisible(settings, config, counts[0])
    return problems + _quantised(settings, config)


def _gpus(application: Mapping[str, Any], settings: Settings, wanted: int) -> list[str]:
    deployments = application.get("deployments")
    index, engine = next(
        (
            (n, each)
            for n, each in enumerate(deployments if isinstance(deployments, list) else [])
            if isinstance(each, dict) and each.get("name") == ENGINE
        ),
        (0, {}),
    )
    field = f"applications.0.deployments.{index}"
    bundles, options = engine.get("placement_group_bundles"), engine.get("ray_actor_options")
    backend = settings.engine.vllm.get("distributed_executor_backend")
    if bundles:
        given = sum(_count(bundle, "GPU") for bundle in bundles)
        if given != wanted:
            return [f"{field}.placement_group_bundles: {_said(given, wanted)}"]
        if wanted > 1 and backend != _RAY:
            return [
                f"{_VLLM}.distributed_executor_backend: must be ray where the GPUs come in "
                "placement_group_bundles"
            ]
        return []
    given = _count(options, "num_gpus")
    if not given:
        return []  # A CPU: parts of one machine.
    if wanted > 1 and backend == _RAY:
        return [
            f"{field}.placement_group_bundles: must be given with distributed_executor_backend: "
            f"ray, one bundle a GPU, {wanted} in all; else vLLM waits for GPUs of its own"
        ]
    if wanted > 1 and given != wanted:
        return [f"{field}.ray_actor_options.num_gpus: {_said(given, wanted)}"]
    return []


def _said(given: float, wanted: int) -> str:
    return (
        f"an engine replica is given {given:g} GPUs and computes on {wanted} "
        "(tensor_parallel_size times pipeline_parallel_size)"
    )


def _count(resources: Any, name: str) -> float:
    found = resources.get(name, 0) if isinstance(resources, dict) else 0
    return float(found) if isinstance(found, int | float) else 0.0


def _divisible(settings: Settings, config: Mapping[str, Any], parts: int) -> list[str]:
    problems = []
    heads = config.get("num_attention_heads")
    if type(heads) is int and heads % parts:
        problems.append(
            f"{_VLLM}.tensor_parallel_size: {parts} does not divide the base's {heads} heads"
        )
    rank = settings.engine.max_lora_rank
    if settings.engine.vllm.get("fully_sharded_loras") and rank % parts:
        problems.append(
            f"applications.0.args.engine.max_lora_rank: {rank} is not divided by "
            f"tensor_parallel_size {parts}, as fully_sharded_loras needs"
        )
    return problems


def _quantised(settings: Settings, config: Mapping[str, Any]) -> list[str]:
    said = settings.engine.vllm.get("quantization")
    if said is None:
        return []
    field = f"{_VLLM}.quantization"
    known = AT_THE_START.union(*PACKED_AS.values())
    if said not in known:
        return [
            f"{field}: {said!r} is not known to work with adapters; known: "
            f"{', '.join(sorted(known))}; leave it out for what the checkpoint says itself"
        ]
    if not config:
        return []  # A name: what it is packed in is known when it has been fetched.
    about = config.get("quantization_config")
    method = about.get("quant_method") if isinstance(about, dict) else None
    if method is None:
        if said in AT_THE_START:
            return []
        return [f"{field}: {said!r} needs a checkpoint that is packed so; the base's is not packed"]
    if said not in PACKED_AS.get(str(method), frozenset({str(method)})):
        return [f"{field}: {said!r}, and the base's checkpoint is {method!r}: leave it out"]
    return []


def _of_base(settings: Settings) -> Mapping[str, Any]:
    """The base's `config.json` where it lies in a directory; empty where it is to be fetched."""
    path = Path(settings.base.model).expanduser() / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
