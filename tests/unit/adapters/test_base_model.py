import json
import os
from pathlib import Path

import numpy as np
import pytest

from adapters.errors import BaseModelError
from adapters.format.base_model import BaseFacts, layer_index, read_base
from tests.fakes.peft_dirs import BASE_CONFIG, safetensors_bytes, write_base

EMBEDDED_BASE = Path(__file__).parents[3] / "serving" / "embedded" / "base"


def test_facts_are_read_without_loading_the_model(tmp_path: Path) -> None:
    """Linears come from 2-D weights; embeddings, head and norms are left out."""
    facts = read_base(write_base(tmp_path / "base"), "tiny-base")
    assert facts.architecture == "Qwen2ForCausalLM"
    assert (facts.num_layers, facts.vocab_size, facts.dtype) == (2, 64, "BF16")
    assert len(facts.linears) == 14
    assert facts.linears["model.layers.0.self_attn.k_proj"] == (8, 16)
    assert facts.linears["model.layers.1.mlp.down_proj"] == (16, 32)
    assert not any("embed" in name or "lm_head" in name for name in facts.linears)


def test_facts_survive_json(tmp_path: Path) -> None:
    """Facts travel between processes unchanged."""
    facts = read_base(write_base(tmp_path / "base"), "tiny-base", also_known_as=("acme/tiny",))
    assert BaseFacts.model_validate(facts.model_dump(mode="json")) == facts
    assert BaseFacts.model_validate_json(facts.model_dump_json()) == facts


def test_shards_hold_the_same_linears(tmp_path: Path) -> None:
    """A sharded model has the same facts; its files differ, so its digest does."""
    single = read_base(write_base(tmp_path / "one"), "tiny-base")
    sharded = read_base(write_base(tmp_path / "three", shards=3), "tiny-base")
    assert sharded.linears == single.linears
    assert sharded.digest != single.digest


def test_the_digest_follows_the_weights_and_not_the_writer(tmp_path: Path) -> None:
    """Other weights or sizes change the digest; key order and the library's version do not."""
    directory = write_base(tmp_path / "base")
    digest = read_base(directory, "tiny-base").digest
    config = {**dict(reversed(list(BASE_CONFIG.items()))), "transformers_version": "5.19.0"}
    (directory / "config.json").write_text(json.dumps(config, indent=4))
    assert read_base(directory, "other-name").digest == digest
    (directory / "config.json").write_text(json.dumps({**config, "rope_theta": 1e6}))
    assert read_base(directory, "tiny-base").digest != digest
    other = write_base(tmp_path / "other", seed=1)
    assert read_base(other, "tiny-base").digest != digest


def test_the_digest_cache_is_used_and_notices_changes(tmp_path: Path) -> None:
    """A known file is not hashed again; a file with another time or size is."""
    directory, cache = write_base(tmp_path / "base"), tmp_path / "cache" / "digests.json"
    first = read_base(directory, "tiny-base", digest_cache=cache)
    poisoned = dict.fromkeys(json.loads(cache.read_text()), "0" * 64)
    cache.write_text(json.dumps(poisoned))
    assert read_base(directory, "tiny-base", digest_cache=cache).digest != first.digest
    os.utime(directory / "model.safetensors", ns=(1, 1))
    assert read_base(directory, "tiny-base", digest_cache=cache).digest == first.digest
    cache.write_text("not JSON")
    assert read_base(directory, "tiny-base", digest_cache=cache).digest == first.digest


def test_links_into_a_model_cache_are_followed(tmp_path: Path) -> None:
    """Downloaded models consist of links to blobs."""
    real = write_base(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in real.iterdir():
        (snapshot / path.name).symlink_to(path)
    assert read_base(snapshot, "tiny-base") == read_base(real, "tiny-base")


@pytest.mark.parametrize(
    ("method", "packed"),
    [("gptq", (2, 32)), ("awq", (16, 4)), ("compressed-tensors", (32, 2))],
    ids=["gptq", "awq", "compressed-tensors"],
)
def test_packed_linears_have_their_true_shape(
    tmp_path: Path, method: str, packed: tuple[int, int]
) -> None:
    """A 4-bit linear of 32 x 16 is seen as (out 32, in 16) in every packing."""
    compressed = method == "compressed-tensors"
    said = (
        {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}} if compressed else {"bits": 4}
    )
    config = {**BASE_CONFIG, "quantization_config": {"quant_method": method, **said}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    suffix = "weight_packed" if compressed else "qweight"
    tensors = {f"model.layers.0.mlp.up_proj.{suffix}": ("I32", np.zeros(packed))}
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    facts = read_base(tmp_path, "quantised")
    assert facts.linears == {"model.layers.0.mlp.up_proj": (32, 16)}


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BF16"])
def test_fp8_linears_have_their_shape(tmp_path: Path, dtype: str) -> None:
    """A checkpoint in FP8 has a byte a weight, and scales that are no linears."""
    config = {**BASE_CONFIG, "quantization_config": {"quant_method": "fp8"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = {
        "model.layers.0.mlp.up_proj.weight": (dtype, np.zeros((32, 16))),
        "model.layers.0.mlp.up_proj.weight_scale": ("F32", np.zeros(1)),
        "model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", np.zeros((1, 1))),
    }
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    assert read_base(tmp_path, "fp8").linears == {"model.layers.0.mlp.up_proj": (32, 16)}


def test_what_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    """Missing or damaged files, and models without readable linears, say what is wrong."""
    with pytest.raises(BaseModelError):
        read_base(tmp_path / "nowhere", "x")
    directory = write_base(tmp_path / "base")
    (directory / "model.safetensors").write_bytes(b"short")
    with pytest.raises(BaseModelError, match="shorter than 8 bytes"):
        read_base(directory, "x")
    (directory / "model.safetensors").write_bytes(safetensors_bytes({"n": ("F32", np.ones(3))}))
    with pytest.raises(BaseModelError) as refused:
        read_base(directory, "x")
    assert refused.value.code == "base-without-linears"


@pytest.mark.parametrize("shard", ["../elsewhere.safetensors", "/etc/passwd"])
def test_an_index_cannot_point_elsewhere(tmp_path: Path, shard: str) -> None:
    """Shards lie in the model's own directory."""
    directory = write_base(tmp_path / "base")
    index = {"weight_map": {"a": shard}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BaseModelError, match="another directory"):
        read_base(directory, "x")


def test_layer_numbers() -> None:
    """The layer's number is found in the usual module paths, and only there."""
    assert layer_index("model.layers.12.self_attn.q_proj") == 12
    assert layer_index("transformer.h.3.attn") == 3
    assert layer_index("model.layers.1.mlp.experts.7.up_proj") == 1
    assert layer_index("lm_head") is None


def test_the_embedded_base_is_readable() -> None:
    """The base that the project ships has linears in every layer."""
    if not (EMBEDDED_BASE / "config.json").exists():
        pytest.skip("the embedded model is not built in this checkout")
    facts = read_base(EMBEDDED_BASE, "graftwork-mini")
    assert {layer_index(name) for name in facts.linears} == set(range(facts.num_layers))


def test_the_name_in_the_bases_own_files_is_one_of_its_names(tmp_path: Path) -> None:
    """Adapters declare the hub's id, whatever the directory or the served name is."""
    directory = write_base(tmp_path / "base")
    config = json.loads((directory / "config.json").read_text())
    for own, known in (("acme/Tiny-1B", ("acme/Tiny-1B",)), ("/mnt/models/x", ())):
        (directory / "config.json").write_text(json.dumps({**config, "_name_or_path": own}))
        assert read_base(directory, "served").also_known_as == known
