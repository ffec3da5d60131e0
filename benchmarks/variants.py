"""Variants of the embedded adapters whose answers differ, made without torch."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np

from serving.embedded import ADAPTERS_DIR

_WEIGHTS = "adapter_model.safetensors"


def variant_tar(alias: str, scale: float, seed: int = 0) -> bytes:
    """A tar of the embedded adapter ``alias`` with its B matrices scaled and slightly stirred."""
    directory = ADAPTERS_DIR / alias
    weights = _scaled((directory / _WEIGHTS).read_bytes(), scale, seed)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "adapter_config.json", (directory / "adapter_config.json").read_bytes())
        _add(archive, _WEIGHTS, weights)
    return buffer.getvalue()


def variant_directory(alias: str, scale: float, seed: int, target: Path) -> Path:
    """The same as a directory."""
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(variant_tar(alias, scale, seed))) as archive:
        archive.extractall(target, filter="data")
    return target


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _scaled(raw: bytes, scale: float, seed: int) -> bytes:
    """Rewrite the tensors in place; the layout of safetensors stays as it is."""
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    data = bytearray(raw)
    generator = np.random.default_rng(seed)
    for name, entry in header.items():
        if name == "__metadata__" or "lora_B" not in name:
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = _decode(bytes(data[begin:end]), entry["dtype"])
        stirred = values * scale * (1 + 0.02 * generator.standard_normal(values.shape))
        data[begin:end] = _encode(stirred.astype(np.float32), entry["dtype"])
    return bytes(data)


def _decode(raw: bytes, dtype: str) -> np.ndarray:
    if dtype == "F32":
        return np.frombuffer(raw, np.float32)
    if dtype == "BF16":
        return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    raise ValueError(f"unexpected dtype {dtype}")


def _encode(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "F32":
        return values.tobytes()
    return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
