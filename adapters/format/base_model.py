"""What preflight must know of the served base, read from its files without loading it.

A linear's module path is its tensor's name without ``.weight``; its shape is ``(out, in)``. Left
out on purpose are embeddings and the output head: for them vLLM keeps other slot tensors (an
embedding's LoRA has another form, the head's lives in the logits processor, and both change with an
extended vocabulary), so adapters that target them are refused rather than half-served.

The base's digest is SHA-256 over its canonical ``config.json`` and the SHA-256 of every weight
file. Storing the same weights in other shards gives another digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.aliases import Roles
from adapters.atomic import sweep, write_file
from adapters.errors import BaseModelError, HeaderError
from adapters.format.chat_template import roles_of
from adapters.format.files import (
    canonical_json,
    parse_json_object,
    read_bounded,
    reason,
    sha256_file,
)
from adapters.format.safetensors import TensorInfo, read_header

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
_COMPRESSED = "compressed-tensors"
_PACKERS = frozenset({"gptq", "awq", _COMPRESSED})
_MAX_CONFIG_BYTES = 4 << 20
_MAX_INDEX_BYTES = 64 << 20
_DIGEST_HEAD = b"graftwork-base-v1\n"
# What the loading library writes into config.json and what does not change the model.
_INCIDENTAL = frozenset({"_name_or_path", "transformers_version"})
_NOT_LINEAR = re.compile(
    r"(^|\.)([a-z_]*embed[a-z_]*|wte|wpe|shared|lm_head|embed_out|output_projection)(\.|$)"
)
_LOCAL_PATH = re.compile(r"[/~.]|[A-Za-z]:|.*\\|[^/]*/[^/]*/")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


class BaseFacts(BaseModel):
    """The served base as adapters have to fit it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    base_id: str
    """The name that clients use and that adapters declare."""
    digest: str
    """64 hex digits; see the module."""
    architecture: str
    num_layers: int
    linears: dict[str, tuple[int, int]]
    """Module path -> (out features, in features) of every linear that may carry a LoRA."""
    vocab_size: int
    """Rows of the embedding: token ids must be smaller."""
    dtype: str
    """As in safetensors, for example ``BF16``."""
    roles: Roles = Roles()
    """Which turns its chat template takes."""
    also_known_as: tuple[str, ...] = ()
    """Other names under which adapters may declare this base."""


def read_base(
    model_dir: Path,
    base_id: str,
    *,
    also_known_as: tuple[str, ...] = (),
    digest_cache: Path | None = None,
) -> BaseFacts:
    """Facts of the model in ``model_dir`` (config.json and safetensors, sharded or not).

    ``digest_cache`` is a small JSON file that remembers the SHA-256 of weight files by path, size
    and modification time, so that a restart does not read gigabytes again. Links are followed,
    since model caches consist of them. Raises ``BaseModelError``.
    """
    config = _read_json(model_dir / "config.json", _MAX_CONFIG_BYTES)
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    weights = _weight_files(model_dir)
    tensors = _read_tensors(weights)
    linears = _linears(tensors, config.get("quantization_config"))
    if not linears:
        raise BaseModelError(
            f"no linear layer is readable in {model_dir.name}: unsupported quantisation?",
            code="base-without-linears",
        )
    return _facts(
        base_id=base_id,
        digest=_digest(config, weights, digest_cache),
        architecture=_architecture(config),
        num_layers=_whole(text, "num_hidden_layers", "n_layer") or _layers_in(linears),
        linears=linears,
        vocab_size=_whole(text, "vocab_size") or _embedding_rows(tensors),
        dtype=Counter(info.dtype for info in tensors.values()).most_common(1)[0][0],
        also_known_as=(*also_known_as, *_own_name(config)),
        roles=roles_of(model_dir),
    )


def _own_name(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The name that the base's own files carry, unless it is a place on some machine."""
    name = config.get("_name_or_path")
    return (name,) if isinstance(name, str) and name and not is_local_path(name) else ()


def is_local_path(name: str) -> bool:
    """Whether a model's name is a place on some machine and not an id such as ``org/model``."""
    return _LOCAL_PATH.match(name) is not None


def layer_index(module: str) -> int | None:
    """The number of the transformer layer in a module path; None when there is none."""
    match = _LAYER.search(module)
    return int(match.group(1)) if match else None


def is_embedding_or_head(module: str) -> bool:
    """Whether a module path names an embedding or the output head."""
    return _NOT_LINEAR.search(module) is not None


def _facts(**fields: Any) -> BaseFacts:
    try:
        return BaseFacts(**fields)
    except ValidationError as error:
        raise BaseModelError(f"config.json: {error.errors()[0]['msg']}") from error


def _read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    try:
        return parse_json_object(read_bounded(path, max_bytes, follow_links=True))
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{path.name}: {reason(error)}") from error


def _weight_files(model_dir: Path) -> list[Path]:
    """Shards that the index names, else the single file, sorted by name."""
    if not (model_dir / INDEX_FILE).exists():
        if not (model_dir / SINGLE_FILE).exists():
            raise BaseModelError(f"neither {SINGLE_FILE} nor {INDEX_FILE} in {model_dir}")
        return [model_dir / SINGLE_FILE]
    shards = _read_json(model_dir / INDEX_FILE, _MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BaseModelError(f"{INDEX_FILE}: weight_map is not a map")
    names = sorted({str(name) for name in shards.values()})
    if any(Path(name).name != name for name in names):
        raise BaseModelError(f"{INDEX_FILE}: a shard lies in another directory")
    return [model_dir / name for name in names]


def _read_tensors(weights: list[Path]) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for path in weights:
        try:
            tensors.update(read_header(path, follow_links=True).tensors)
        except HeaderError as error:
            raise BaseModelError(f"{path.name}: {reason(error)}") from error
    if not tensors:
        raise BaseModelError("the weight files hold no tensors")
    return tensors


def _linears(tensors: Mapping[str, TensorInfo], quantization: Any) -> dict[str, tuple[int, int]]:
    found = dict(_plain_linears(tensors))
    found.update(_packed_linears(tensors, quantization if isinstance(quantization, dict) else {}))
    return {name: found[name] for name in sorted(found) if not is_embedding_or_head(name)}


def _plain_linears(
    tensors: Mapping[str, TensorInfo],
) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, info in tensors.items():
        # Packed integers (4-bit bitsandbytes) have no readable shape.
        if name.endswith(".weight") and len(info.shape) == 2 and info.dtype not in {"U8", "I32"}:
            yield name.removesuffix(".weight"), (info.shape[0], info.shape[1])


def _packed_linears(
    tensors: Mapping[str, TensorInfo], quantization: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Linears whose weights are packed into 32-bit words.

    GPTQ packs along in, AWQ along out and turned round, compressed-tensors along in.
    """
    method = quantization.get("quant_method")
    bits, suffix = _packing(quantization)
    if method not in _PACKERS or type(bits) is not int or not 0 < bits <= 8:
        return
    for name, info in tensors.items():
        if name.endswith(suffix) and len(info.shape) == 2:
            rows, columns = info.shape
            yield (
                name.removesuffix(suffix),
                {
                    "gptq": (columns, rows * 32 // bits),
                    "awq": (columns * 32 // bits, rows),
                    _COMPRESSED: (rows, columns * 32 // bits),
                }[str(method)],
            )


def _packing(quantization: Mapping[str, Any]) -> tuple[Any, str]:
    """Bits of a weight, and how the name of a packed tensor ends."""
    if quantization.get("quant_method") != _COMPRESSED:
        return quantization.get("bits", quantization.get("w_bit", 4)), ".qweight"
    groups = quantization.get("config_groups")
    weights = [
        group["weights"].get("num_bits")
        for group in (groups.values() if isinstance(groups, dict) else ())
        if isinstance(group, dict) and isinstance(group.get("weights"), dict)
    ]
    return next((bits for bits in weights if bits is not None), None), ".weight_packed"


def _architecture(config: Mapping[str, Any]) -> str:
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        return str(architectures[0])
    return str(config.get("model_type", ""))


def _whole(config: Any, *keys: str) -> int:
    values = (config.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), 0)


def _layers_in(linears: Mapping[str, object]) -> int:
    numbers = [layer_index(name) for name in linears]
    return max((number for number in numbers if number is not None), default=-1) + 1


def _embedding_rows(tensors: Mapping[str, TensorInfo]) -> int:
    rows = (
        info.shape[0]
        for name, info in tensors.items()
        if len(info.shape) == 2 and is_embedding_or_head(name)
    )
    return max(rows, default=0)


def _digest(config: Mapping[str, Any], weights: list[Path], cache_file: Path | None) -> str:
    known = _read_cache(cache_file)
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    total = hashlib.sha256(_DIGEST_HEAD + canonical_json(kept))
    used: dict[str, str] = {}
    for path in weights:
        try:
            status = path.stat()
            key = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
            used[key] = known.get(key) or sha256_file(path, follow_links=True)
        except OSError as error:
            raise BaseModelError(f"{path.name}: {reason(error)}") from error
        total.update(f"\n{path.name}:{used[key]}".encode())
    if cache_file is not None and not used.items() <= known.items():
        _write_cache(cache_file, used)
    return total.hexdigest()


def _read_cache(cache_file: Path | None) -> dict[str, str]:
    if cache_file is None:
        return {}
    try:
        cached = parse_json_object(cache_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in cached.items() if isinstance(value, str)}


def _write_cache(cache_file: Path, entries: Mapping[str, str]) -> None:
    """Best effort: without a cache the next start is slower, not wrong."""
    with contextlib.suppress(OSError):
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        sweep(cache_file.parent)
        write_file(cache_file, json.dumps(entries, indent=1), durable=False)
