"""Variants of a real adapter: the same PEFT directory with its effect made stronger or weaker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.format.manifest import WEIGHTS_FILE
from tests.fakes.peft_dirs import encode, safetensors_bytes

Array = NDArray[np.float32]


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy ``source`` to ``target`` with every ``lora_B`` times ``factor``; returns ``target``."""
    shutil.copytree(source, target)
    tensors = {
        name: (dtype, array * factor if ".lora_B." in name else array)
        for name, dtype, array in _tensors((source / WEIGHTS_FILE).read_bytes())
    }
    (target / WEIGHTS_FILE).write_bytes(safetensors_bytes(tensors, {"format": "pt"}))
    return target


def _tensors(raw: bytes) -> Iterator[tuple[str, str, Array]]:
    """(name, dtype, values) of every tensor of a safetensors file in BF16, F16 or F32."""
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    for name, facts in header.items():
        if name != "__metadata__":
            start, end = facts["data_offsets"]
            values = _decode(data[start:end], facts["dtype"]).reshape(facts["shape"])
            assert encode(values, facts["dtype"]) == data[start:end]
            yield name, facts["dtype"], values


def _decode(raw: bytes, dtype: str) -> Array:
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, {"F16": "<f2", "F32": "<f4"}[dtype]).astype("<f4")
