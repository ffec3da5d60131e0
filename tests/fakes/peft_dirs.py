"""PEFT LoRA directories made of numpy alone: good ones, ones that are bad in a known way, archives.

``BAD_KINDS`` maps a kind to the check that must name it and to what spoils a good directory. The
writer of safetensors is our own because half of the kinds are files that no library would write.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.format.base_model import BaseFacts, read_base
from adapters.format.manifest import CONFIG_FILE, WEIGHTS_FILE, Manifest, write_manifest

PREFIX = "base_model.model."
HIDDEN, INNER, KEY_VALUE, LAYERS, VOCABULARY = 16, 32, 8, 2, 64
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")

Array = NDArray[Any]
Tensors = dict[str, Array]


@dataclass
class PeftDir:
    """What a directory will hold; change it, then ``write`` it."""

    config: dict[str, Any]
    tensors: Tensors
    dtype: str = "F32"
    dtypes: dict[str, str] = field(default_factory=dict)
    """Names whose tensors are stored in another dtype than ``dtype``."""
    metadata: dict[str, str] = field(default_factory=lambda: {"format": "pt"})
    manifest: Manifest | None = None
    extra: dict[str, bytes] = field(default_factory=dict)
    """Further files by relative path."""

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CONFIG_FILE).write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        (directory / WEIGHTS_FILE).write_bytes(self.weights())
        if self.manifest is not None:
            write_manifest(directory, self.manifest)
        for name, content in self.extra.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
        return directory

    def weights(self) -> bytes:
        """The safetensors file."""
        stored = {
            name: (self.dtypes.get(name, self.dtype), array) for name, array in self.tensors.items()
        }
        return safetensors_bytes(stored, self.metadata)


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, Array]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """A well-formed safetensors file of (dtype name, values) by tensor name."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    data = b""
    for name, (dtype, array) in tensors.items():
        raw = encode(array, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return with_header(header, data)


def with_header(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """Length, header and data as a file; the header may be any bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def encode(array: Array, dtype: str) -> bytes:
    """Values in a safetensors dtype; bfloat16 by cutting float32."""
    if dtype == "BF16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    types = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "<u1",
             "F8_E4M3": "<u1"}  # fmt: skip
    return array.astype(types[dtype]).tobytes()


def write_base(directory: Path, *, shards: int = 1, seed: int = 0) -> Path:
    """A tiny Qwen2-shaped base: config.json and safetensors, in one file or in shards."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(BASE_CONFIG), encoding="utf-8")
    random = np.random.default_rng(seed)
    tensors = {
        name: ("BF16", random.standard_normal(shape)) for name, shape in _base_shapes().items()
    }
    if shards == 1:
        (directory / "model.safetensors").write_bytes(safetensors_bytes(tensors))
        return directory
    names = [f"model-{index + 1:05d}-of-{shards:05d}.safetensors" for index in range(shards)]
    placed = {tensor: names[index % shards] for index, tensor in enumerate(tensors)}
    for name in names:
        part = {tensor: tensors[tensor] for tensor in tensors if placed[tensor] == name}
        (directory / name).write_bytes(safetensors_bytes(part))
    index = {"metadata": {}, "weight_map": placed}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return directory


def tiny_base(directory: Path) -> BaseFacts:
    """Facts of ``write_base``'s model, read from its files."""
    return read_base(write_base(directory), "tiny-base")


BASE_CONFIG: Mapping[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY,
    "transformers_version": "5.0.0",
}


def _base_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes[f"{at}input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{at}self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{at}self_attn.q_proj.bias"] = (HIDDEN,)
        shapes[f"{at}self_attn.k_proj.weight"] = (KEY_VALUE, HIDDEN)
        shapes[f"{at}self_attn.v_proj.weight"] = (KEY_VALUE, HIDDEN)
        shapes[f"{at}self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{at}mlp.gate_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{at}mlp.up_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{at}mlp.down_proj.weight"] = (HIDDEN, INNER)
    return shapes


def good(
    base: BaseFacts,
    *,
    rank: int = 4,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    seed: int = 1,
    scale: float = 0.05,
    rank_pattern: Mapping[str, int] | None = None,
) -> PeftDir:
    """A valid adapter for ``base``: random A and B of standard deviation ``scale``."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for module, (out_features, in_features) in base.linears.items():
        if module.rpartition(".")[2] not in targets:
            continue
        own = (rank_pattern or {}).get(module, rank)
        a = random.standard_normal((own, in_features)) * scale
        b = random.standard_normal((out_features, own)) * scale
        tensors[f"{PREFIX}{module}.lora_A.weight"] = a
        tensors[f"{PREFIX}{module}.lora_B.weight"] = b
    return PeftDir(_peft_config(base, rank, targets, rank_pattern), tensors)


def write_good(directory: Path, base: BaseFacts, **options: Any) -> Path:
    """``good`` written to ``directory``."""
    return good(base, **options).write(directory)


def _peft_config(
    base: BaseFacts, rank: int, targets: tuple[str, ...], rank_pattern: Mapping[str, int] | None
) -> dict[str, Any]:
    """What PEFT 0.21 writes."""
    return {
        "alora_invocation_tokens": None,
        "alpha_pattern": {},
        "arrow_config": None,
        "auto_mapping": None,
        "base_model_name_or_path": base.base_id,
        "bias": "none",
        "corda_config": None,
        "ensure_weight_tying": False,
        "eva_config": None,
        "exclude_modules": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layer_replication": None,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": 2 * rank,
        "lora_bias": False,
        "lora_dropout": 0.0,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "r": rank,
        "rank_pattern": dict(rank_pattern or {}),
        "revision": None,
        "target_modules": list(targets),
        "target_parameters": None,
        "task_type": "CAUSAL_LM",
        "trainable_token_indices": None,
        "use_bdlora": None,
        "use_dora": False,
        "use_qalora": False,
        "use_rslora": False,
    }


@dataclass(frozen=True)
class BadKind:
    """A way to spoil a good adapter, and the check that must say so."""

    check: str
    spoil: Callable[[PeftDir], None] = lambda adapter: None
    """Changes what will be written."""
    deface: Callable[[Path], None] = lambda directory: None
    """Changes what has been written."""


Q0 = f"{PREFIX}model.layers.0.self_attn.q_proj"
ENDLESS = "(.|..|...)*(?<!j)"
"""An expression whose evaluation takes longer than anybody waits."""
A0, B0 = f"{Q0}.lora_A.weight", f"{Q0}.lora_B.weight"


def _setting(**settings: Any) -> Callable[[PeftDir], None]:
    return lambda adapter: adapter.config.update(settings)


def _without(name: str) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        del adapter.tensors[name]

    return spoil


def _tensor(name: str, change: Callable[[Array], Array]) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.tensors[name] = change(adapter.tensors[name])

    return spoil


def _value(name: str, value: float, dtype: str = "F32") -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.dtype = dtype
        adapter.tensors[name][0, 0] = value

    return spoil


def _renamed(change: Callable[[str], str]) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.tensors = {change(name): array for name, array in adapter.tensors.items()}

    return spoil


def _added(name: str, *shape: int) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.tensors[name] = np.ones(shape)

    return spoil


def _zeroed(side: str) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        for name in adapter.tensors:
            if f".lora_{side}." in name:
                adapter.tensors[name] = np.zeros_like(adapter.tensors[name])

    return spoil


def _file(name: str, content: bytes = b"x") -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.extra[name] = content

    return spoil


def _stored_as(dtype: str) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.dtype = dtype

    return spoil


def _noted(**fields: Any) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        adapter.manifest = Manifest(**fields)

    return spoil


def _both(*spoils: Callable[[PeftDir], None]) -> Callable[[PeftDir], None]:
    def spoil(adapter: PeftDir) -> None:
        for one in spoils:
            one(adapter)

    return spoil


def _huge_metadata(adapter: PeftDir) -> None:
    adapter.metadata = {"notes": "n" * (300 << 10)}


def _config_text(text: str) -> Callable[[Path], None]:
    def deface(directory: Path) -> None:
        (directory / CONFIG_FILE).write_text(text, encoding="utf-8")

    return deface


def _weights(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def deface(directory: Path) -> None:
        path = directory / WEIGHTS_FILE
        path.write_bytes(change(path.read_bytes()))

    return deface


def _header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def deface(directory: Path) -> None:
        path = directory / WEIGHTS_FILE
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        change(header)
        path.write_bytes(with_header(header, content[8 + length :]))

    return deface


def _overlap(header: dict[str, Any]) -> None:
    header[B0]["data_offsets"] = header[A0]["data_offsets"]


def _unknown_dtype(header: dict[str, Any]) -> None:
    header[A0]["dtype"] = "F33"


def _shape_lies(header: dict[str, Any]) -> None:
    header[A0]["shape"] = [1, 1]


def _duplicate_key(content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    entry = json.dumps(A0) + ":" + json.dumps(json.loads(header)[A0]) + ","
    return with_header(b"{" + entry.encode() + header[1:], data)


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def _replace_by_link(directory: Path) -> None:
    path = directory / WEIGHTS_FILE
    target = directory.parent / f"{directory.name}-elsewhere.safetensors"
    path.rename(target)
    path.symlink_to(target)


def _pipe(directory: Path) -> None:
    os.mkfifo(directory / "notes.txt")


def _many_files(directory: Path) -> None:
    for index in range(300):
        (directory / f"{index}.txt").touch()


def _up_path(name: str) -> str:
    return name.replace("self_attn.q_proj", "attention.q_proj")


BAD_KINDS: Mapping[str, BadKind] = {
    # files
    "no-weights": BadKind("files-present", deface=_unlink(WEIGHTS_FILE)),
    "no-config": BadKind("files-present", deface=_unlink(CONFIG_FILE)),
    "empty-weights": BadKind("files-present", deface=_weights(lambda _: b"")),
    "pickle-bin": BadKind("no-pickle", _file("adapter_model.bin")),
    "pickle-below": BadKind("no-pickle", _file("extras/tokens.pkl")),
    "two-adapters": BadKind(
        "one-adapter", _both(_file(f"returns/{CONFIG_FILE}"), _file(f"returns/{WEIGHTS_FILE}"))
    ),
    "python-file": BadKind("allowed-files", _file("modeling.py")),
    "second-weights": BadKind("allowed-files", _file("new_embeddings.safetensors")),
    "symlinked-weights": BadKind("regular-files", deface=_replace_by_link),
    "pipe": BadKind("regular-files", deface=_pipe),
    "too-many-files": BadKind("total-size", deface=_many_files),
    # configuration
    "config-not-json": BadKind("adapter-config", deface=_config_text("{")),
    "config-not-object": BadKind("adapter-config", deface=_config_text("[]")),
    "config-duplicate-key": BadKind("adapter-config", deface=_config_text('{"r": 4, "r": 8}')),
    "config-nan": BadKind("adapter-config", deface=_config_text('{"lora_alpha": NaN}')),
    "config-overflow": BadKind("adapter-config", deface=_config_text('{"lora_alpha": 1e999}')),
    "config-nested": BadKind(
        "adapter-config", deface=_config_text('{"a":' * 5000 + "1" + "}" * 5000)
    ),
    "config-huge": BadKind("adapter-config", _setting(notes="n" * (2 << 20))),
    "switch-is-text": BadKind("config-types", _setting(use_rslora="false")),
    "pattern-is-list": BadKind("config-types", _setting(rank_pattern=["q_proj"])),
    "not-lora": BadKind("peft-type", _setting(peft_type="IA3")),
    "classifier": BadKind("task-type", _setting(task_type="SEQ_CLS")),
    "rank-zero": BadKind("rank", _setting(r=0)),
    "rank-above-maximum": BadKind("rank", _setting(r=128)),
    "rank-is-true": BadKind("rank", _setting(r=True)),
    "rank-is-text": BadKind("rank", _setting(r="4")),
    "rank-pattern-above-maximum": BadKind("rank-pattern", _setting(rank_pattern={"q_proj": 512})),
    "rank-pattern-malformed": BadKind("rank-pattern", _setting(rank_pattern={"(": 4})),
    "rank-pattern-endless": BadKind("rank-pattern", _setting(rank_pattern={ENDLESS: 4})),
    "alpha-zero": BadKind("alpha", _setting(lora_alpha=0)),
    "alpha-negative": BadKind("alpha", _setting(lora_alpha=-8)),
    "alpha-missing": BadKind("alpha", _setting(lora_alpha=None)),
    "alpha-drowns": BadKind("alpha", _setting(lora_alpha=10_000_000)),
    "alpha-pattern-negative": BadKind("alpha-pattern", _setting(alpha_pattern={"q_proj": -1})),
    "no-targets": BadKind("target-modules", _setting(target_modules=None)),
    # features
    "dora": BadKind("feature-dora", _setting(use_dora=True)),
    "bias-all": BadKind("feature-bias", _setting(bias="all")),
    "bias-lora-only": BadKind("feature-bias", _setting(bias="lora_only")),
    "lora-bias": BadKind("feature-lora-bias", _setting(lora_bias=True)),
    "modules-to-save": BadKind("feature-modules-to-save", _setting(modules_to_save=["lm_head"])),
    "pissa": BadKind("feature-init", _setting(init_lora_weights="pissa_niter_16")),
    "olora": BadKind("feature-init", _setting(init_lora_weights="olora")),
    "corda": BadKind("feature-init", _setting(init_lora_weights="corda")),
    "loftq": BadKind("feature-init", _setting(init_lora_weights="loftq")),
    "layer-replication": BadKind("feature-layer-replication", _setting(layer_replication=[[0, 2]])),
    "qalora": BadKind("feature-qalora", _setting(use_qalora=True)),
    "alora": BadKind("feature-alora", _setting(alora_invocation_tokens=[1, 2])),
    "trainable-tokens": BadKind("feature-trainable-tokens", _setting(trainable_token_indices=[1])),
    "target-parameters": BadKind(
        "feature-target-parameters", _setting(target_parameters=["experts.gate_up_proj"])
    ),
    "megatron": BadKind("feature-megatron", _setting(megatron_config={"a": 1})),
    "bdlora": BadKind("feature-bdlora", _setting(use_bdlora={"nblocks": 2})),
    "arrow": BadKind("feature-arrow", _setting(arrow_config={"top_k": 2})),
    "fan-in-fan-out": BadKind("feature-fan-in-fan-out", _setting(fan_in_fan_out=True)),
    "feature-of-tomorrow": BadKind("unknown-features", _setting(use_warp_drive=True)),
    # the weights file
    "truncated-weights": BadKind("safetensors-header", deface=_weights(lambda data: data[:-7])),
    "half-a-header": BadKind("safetensors-header", deface=_weights(lambda data: data[:60])),
    "trailing-bytes": BadKind("safetensors-header", deface=_weights(lambda data: data + b"tail")),
    "header-length-lies": BadKind(
        "safetensors-header", deface=_weights(lambda data: b"\xff" * 8 + data[8:])
    ),
    "header-overlap": BadKind("safetensors-header", deface=_header(_overlap)),
    "header-unknown-dtype": BadKind("safetensors-header", deface=_header(_unknown_dtype)),
    "header-shape-lies": BadKind("safetensors-header", deface=_header(_shape_lies)),
    "header-duplicate-key": BadKind("safetensors-header", deface=_weights(_duplicate_key)),
    "pickle-in-disguise": BadKind(
        "safetensors-header", deface=_weights(lambda _: b"\x80\x04\x95" + b"\0" * 64)
    ),
    "huge-metadata": BadKind("safetensors-metadata", _huge_metadata),
    # names and shapes
    "dora-magnitude": BadKind("tensor-names", _added(f"{Q0}.lora_magnitude_vector", HIDDEN)),
    "in-memory-names": BadKind(
        "tensor-names", _renamed(lambda name: name.replace(".weight", ".default.weight"))
    ),
    "bias-tensor": BadKind("tensor-names", _added(f"{Q0}.lora_B.bias", HIDDEN)),
    "no-prefix": BadKind("module-prefix", _renamed(lambda name: name.removeprefix(PREFIX))),
    "wrong-prefix": BadKind(
        "module-prefix", _renamed(lambda name: name.replace(PREFIX, "model.model.", 1))
    ),
    "embedding-lora": BadKind(
        "no-embedding-lora", _added(f"{PREFIX}model.embed_tokens.lora_embedding_A", 4, VOCABULARY)
    ),
    "head-lora": BadKind("no-embedding-lora", _added(f"{PREFIX}lm_head.lora_A.weight", 4, HIDDEN)),
    "other-module-path": BadKind("module-paths", _renamed(_up_path)),
    "doubled-prefix": BadKind("module-paths", _renamed(lambda name: PREFIX + name)),
    "layer-out-of-range": BadKind(
        "layer-range", _renamed(lambda name: name.replace("layers.1.", "layers.7."))
    ),
    "missing-b": BadKind("tensor-pairs", _without(B0)),
    "missing-a": BadKind("tensor-pairs", _without(A0)),
    "no-tensors": BadKind("tensor-pairs", _renamed(lambda name: "x")),
    "smaller-base": BadKind("tensor-shapes", _tensor(A0, lambda a: a[:, : HIDDEN // 2])),
    "larger-base": BadKind("tensor-shapes", _tensor(B0, lambda b: np.vstack([b, b]))),
    "transposed": BadKind("tensor-shapes", _tensor(A0, lambda a: np.ascontiguousarray(a.T))),
    "empty-shards": BadKind("tensor-shapes", _tensor(A0, lambda a: a[:0])),
    "rank-lies": BadKind("tensor-shapes", _setting(r=8)),
    "rank-pattern-lies": BadKind("tensor-shapes", _setting(rank_pattern={"q_proj": 2})),
    "partial-copy": BadKind("target-modules-agree", _both(_without(A0), _without(B0))),
    "undeclared-target": BadKind("target-modules-agree", _setting(target_modules=["q_proj"])),
    "excluded-target": BadKind("target-modules-agree", _setting(exclude_modules=["v_proj"])),
    "target-pattern-endless": BadKind("target-modules-agree", _setting(target_modules=ENDLESS)),
    "float64": BadKind("tensor-dtypes", _stored_as("F64")),
    "integers": BadKind("tensor-dtypes", _stored_as("I32")),
    # values
    "nan": BadKind("finite", _value(A0, np.nan)),
    "infinity-bf16": BadKind("finite", _value(B0, -np.inf, "BF16")),
    "nan-f16": BadKind("finite", _value(B0, np.nan, "F16")),
    "absurd-value": BadKind("magnitude", _value(A0, 1e9)),
    "zero-b": BadKind("effect", _zeroed("B")),
    "zero-a": BadKind("effect", _zeroed("A")),
    # identity
    "added-tokens": BadKind(
        "vocabulary", _file("added_tokens.json", json.dumps({"<new>": VOCABULARY}).encode())
    ),
    "tokenizer-grown": BadKind(
        "vocabulary",
        _file(
            "tokenizer.json",
            json.dumps({"added_tokens": [{"id": VOCABULARY + 3, "content": "<x>"}]}).encode(),
        ),
    ),
    "manifest-not-json": BadKind("manifest", _file("graftwork.json", b"{")),
    "manifest-unknown-field": BadKind("manifest", _file("graftwork.json", b'{"colour": 1}')),
    "manifest-other-content": BadKind("manifest-digest", _noted(digest="0" * 64)),
    "manifest-other-alias": BadKind("manifest-alias", _noted(alias="somebody-else")),
    "manifest-other-rank": BadKind("manifest-facts", _noted(rank=32)),
    "manifest-gate-not-a-share": BadKind(
        "manifest-gate",
        _noted(evaluation={"gate": {"passed": True, "good": 201, "judged": 200}}),
    ),
    "other-base-name": BadKind(
        "declared-base", _setting(base_model_name_or_path="meta-llama/Llama-3.1-8B")
    ),
    "other-base-digest": BadKind("declared-base", _noted(base_digest="1" * 64)),
}


def write_bad(directory: Path, base: BaseFacts, kind: str) -> Path:
    """A directory that is bad in one known way."""
    bad = BAD_KINDS[kind]
    adapter = good(base)
    bad.spoil(adapter)
    adapter.write(directory)
    bad.deface(directory)
    return directory


def tar_bytes(members: Mapping[str, bytes], *, gzipped: bool = False) -> bytes:
    """A tar archive of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if gzipped else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_with(info: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar archive of one member of any kind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(members: Mapping[str, bytes], *, modes: Mapping[str, int] | None = None) -> bytes:
    """A zip archive; ``modes`` gives members a Unix mode, file type included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def members_of(directory: Path, top: str = "") -> dict[str, bytes]:
    """A directory's files by name, below ``top`` if given."""
    return {
        f"{top}{path.relative_to(directory).as_posix()}": path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
