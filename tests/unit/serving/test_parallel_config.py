"""Several GPUs a replica and packed bases: what cannot work is said before anything starts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.config.parallel import AT_THE_START, PACKED_AS
from tests.fakes.deploying import deploy

GPU = Path(__file__).resolve().parents[3] / "config" / "gpu.yaml"
VLLM = "applications.0.args.engine.vllm"
ENGINE = 1
BUNDLES = [{"CPU": 4, "GPU": 1}, {"GPU": 1}]


def configured(vllm: dict[str, Any], base: Path | None = None, **engine: Any) -> dict[str, Any]:
    """gpu.yaml with other arguments of vLLM, another base and another deployment of the engine."""
    raw: dict[str, Any] = copy.deepcopy(yaml.safe_load(GPU.read_text()))
    application = raw["applications"][0]
    application["args"]["engine"]["vllm"] |= vllm
    if base is not None:
        application["args"]["base"] = {"model": str(base)}
    assert application["deployments"][ENGINE]["name"] == "engine"
    application["deployments"][ENGINE] |= engine
    return raw


def problems(raw: dict[str, Any]) -> list[str]:
    """Every problem of a file; none when it is well."""
    try:
        deploy.check(raw, "test.yaml")
    except deploy.ConfigError as refused:
        return refused.problems
    return []


def base(directory: Path, quantisation: dict[str, Any] | None = None, heads: int = 28) -> Path:
    """A directory whose config says so."""
    config: dict[str, Any] = {"num_attention_heads": heads}
    if quantisation is not None:
        config["quantization_config"] = quantisation
    (directory / "config.json").write_text(json.dumps(config))
    return directory


WELL: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"tensor_parallel_size": 2, "distributed_executor_backend": "ray"},
     {"placement_group_bundles": BUNDLES}),
    ({"tensor_parallel_size": 2, "distributed_executor_backend": "mp"},
     {"ray_actor_options": {"num_cpus": 4, "num_gpus": 2}}),
    ({"tensor_parallel_size": 2, "pipeline_parallel_size": 2,
      "distributed_executor_backend": "ray"}, {"placement_group_bundles": [*BUNDLES, *BUNDLES]}),
    ({"quantization": "fp8"}, {}),
    ({}, {"ray_actor_options": {"num_cpus": 4, "num_gpus": 0.5}}),
]  # fmt: skip


@pytest.mark.parametrize(("vllm", "engine"), WELL)
def test_what_fits_together_loads(vllm: dict[str, Any], engine: dict[str, Any]) -> None:
    """As config/gpu.yaml's comments say."""
    assert problems(configured(vllm, **engine)) == []


BAD: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"tensor_parallel_size": 4}, {}, "ray_actor_options.num_gpus", "1 GPUs and computes on 4"),
    ({"tensor_parallel_size": 4, "distributed_executor_backend": "ray"}, {},
     "placement_group_bundles", "4 in all"),
    ({"tensor_parallel_size": 4, "distributed_executor_backend": "ray"},
     {"placement_group_bundles": BUNDLES}, "placement_group_bundles", "2 GPUs and computes on 4"),
    ({"tensor_parallel_size": 2}, {"placement_group_bundles": BUNDLES},
     "distributed_executor_backend", "must be ray"),
    ({}, {"placement_group_bundles": BUNDLES}, "placement_group_bundles", "computes on 1"),
    ({"tensor_parallel_size": "4"}, {}, "tensor_parallel_size", "whole number"),
    ({"tensor_parallel_size": True}, {}, "tensor_parallel_size", "whole number"),
    ({"pipeline_parallel_size": 0}, {}, "pipeline_parallel_size", "whole number"),
    ({"quantization": "gguf"}, {}, "quantization", "not known to work with adapters"),
    ({"quantization": 4}, {}, "quantization", "not known to work with adapters"),
]  # fmt: skip


@pytest.mark.parametrize(("vllm", "engine", "field", "said"), BAD)
def test_what_does_not_is_named(
    vllm: dict[str, Any], engine: dict[str, Any], field: str, said: str
) -> None:
    """One line, with the field and what to give."""
    (line,) = problems(configured(vllm, **engine))
    assert field in line.partition(": ")[0]
    assert said in line


@pytest.mark.parametrize("method", sorted(PACKED_AS))
def test_a_packed_base_needs_no_word_and_bears_the_right_one(tmp_path: Path, method: str) -> None:
    """Its own config says what it is; another word for the same is no contradiction."""
    packed = base(tmp_path, {"quant_method": method})
    assert problems(configured({}, packed)) == []
    for said in PACKED_AS[method]:
        assert problems(configured({"quantization": said}, packed)) == []
    (line,) = problems(configured({"quantization": "int8_per_channel_weight_only"}, packed))
    assert f"the base's checkpoint is '{method}': leave it out" in line


def test_a_base_in_16_bits_can_be_packed_at_the_start_only_as_vllm_can(tmp_path: Path) -> None:
    """FP8 is made while loading; AWQ takes calibration and another checkpoint."""
    plain = base(tmp_path)
    for said in AT_THE_START:
        assert problems(configured({"quantization": said}, plain)) == []
    (line,) = problems(configured({"quantization": "awq"}, plain))
    assert "needs a checkpoint that is packed so" in line


def test_heads_and_ranks_are_divided_by_the_gpus(tmp_path: Path) -> None:
    """vLLM would say so after minutes."""
    three = {"tensor_parallel_size": 3, "distributed_executor_backend": "mp"}
    gpus = {"ray_actor_options": {"num_cpus": 4, "num_gpus": 3}}
    (line,) = problems(configured(three, base(tmp_path), **gpus))
    assert "3 does not divide the base's 28 heads" in line
    sharded = {**three, "fully_sharded_loras": True}
    (line,) = problems(configured(sharded, base(tmp_path, heads=24), **gpus))
    assert "max_lora_rank: 16 is not divided" in line


@pytest.mark.parametrize("content", ["", "[]", "{", '{"quantization_config": 3}'])
def test_an_odd_config_of_the_base_is_somebody_elses_error(tmp_path: Path, content: str) -> None:
    """The engine says what is wrong with it."""
    (tmp_path / "config.json").write_text(content)
    assert problems(configured({}, tmp_path)) == []
