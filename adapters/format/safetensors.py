"""Reading safetensors without trusting them: the header first, then each tensor's bits in a stream.

Only numpy and the file format's own rules: eight bytes of little-endian length N, N bytes of JSON
(``name -> {dtype, shape, data_offsets}``, and ``__metadata__`` of strings), then the data, which
the tensors must cover without gap or overlap. Files are read, never mapped: a mapped file that
somebody truncates kills the process with SIGBUS.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from adapters.errors import HeaderError
from adapters.format.files import open_regular, parse_json_object, reason

LENGTH_BYTES = 8
MAX_DIMENSIONS = 8
MAX_NAME_CHARACTERS = 512
DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
_TENSOR_FIELDS = {"dtype", "shape", "data_offsets"}
_SCAN_BYTES = 1 << 20


class HeaderLimits(BaseModel):
    """How much header a stranger may make us read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_header_bytes: int = 16 << 20
    """The JSON before the data."""
    max_tensors: int = 100_000
    """Tensors in one file."""


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: offsets in bytes from the start of the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A header that was found consistent with its file."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_offset_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class TensorStats:
    """What the bits of one tensor say."""

    finite: bool
    zero: bool
    max_abs: float
    """Largest magnitude; infinity when the tensor is not finite, 0.0 when it is empty."""


class _Bits(NamedTuple):
    integers: str
    floats: str
    exponent: int


# For IEEE formats the bits without the sign order like the magnitudes, so one integer maximum
# answers all three questions; bfloat16, which numpy lacks, is the upper half of a float32.
_FLOAT_BITS: Mapping[str, _Bits] = {
    "F16": _Bits("<u2", "<f2", 0x7C00),
    "BF16": _Bits("<u2", "", 0x7F80),
    "F32": _Bits("<u4", "<f4", 0x7F80_0000),
    "F64": _Bits("<u8", "<f8", 0x7FF0_0000_0000_0000),
}
SCANNABLE_DTYPES = frozenset(_FLOAT_BITS)


def read_header(
    path: Path, limits: HeaderLimits | None = None, *, follow_links: bool = False
) -> Header:
    """Read and check a file's header; ``HeaderError`` with a code when anything does not fit.

    Codes: ``header-unreadable`` (no such regular file), ``header-truncated``, ``header-too-large``,
    ``header-json``, ``header-tensor`` (dtype, shape or fields), ``header-offsets``.
    """
    limits = limits or HeaderLimits()
    try:
        with open_regular(path, follow_links=follow_links) as file:
            file_bytes = os.fstat(file.fileno()).st_size
            raw = _read_raw(file, file_bytes, limits)
    except OSError as error:
        raise HeaderError(f"{path.name}: {reason(error)}", code="header-unreadable") from error
    fields = _parse(raw)
    metadata = _metadata(fields.pop("__metadata__", {}))
    if len(fields) > limits.max_tensors:
        raise HeaderError(f"{len(fields)} tensors", code="header-too-large")
    tensors = {name: _tensor(name, value) for name, value in fields.items()}
    data_offset = LENGTH_BYTES + len(raw)
    _check_offsets(tensors, file_bytes - data_offset)
    return Header(tensors, metadata, data_offset, file_bytes)


def scan(path: Path, header: Header, *, follow_links: bool = False) -> dict[str, TensorStats]:
    """Statistics of every F16, BF16, F32 and F64 tensor, in one pass over the file.

    Raises ``HeaderError`` (``header-truncated``) when the file became shorter meanwhile.
    """
    floats = [info for info in header.tensors.values() if info.dtype in _FLOAT_BITS]
    try:
        with open_regular(path, follow_links=follow_links) as file:
            ordered = sorted(floats, key=lambda info: info.begin)
            return {info.name: _scan(file, header, info) for info in ordered}
    except OSError as error:
        raise HeaderError(f"{path.name}: {reason(error)}", code="header-unreadable") from error


def _read_raw(file: BinaryIO, file_bytes: int, limits: HeaderLimits) -> bytes:
    prefix = file.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        raise HeaderError("file is shorter than 8 bytes", code="header-truncated")
    length = int.from_bytes(prefix, "little")
    if length > limits.max_header_bytes:
        raise HeaderError(f"header of {length} bytes", code="header-too-large")
    if length > file_bytes - LENGTH_BYTES:
        raise HeaderError(
            f"header of {length} bytes in a file of {file_bytes}", code="header-truncated"
        )
    raw = file.read(length)
    if len(raw) != length:
        raise HeaderError("file ends inside the header", code="header-truncated")
    return raw


def _parse(raw: bytes) -> dict[str, Any]:
    # The format demands the brace at once; padding goes behind the JSON.
    if not raw.startswith(b"{"):
        raise HeaderError("header does not begin with '{'", code="header-json")
    try:
        return parse_json_object(raw)
    except ValueError as error:
        raise HeaderError(f"header: {error}", code="header-json") from error


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise HeaderError("__metadata__ is not a map of strings", code="header-json")
    return value


def _tensor(name: str, value: Any) -> TensorInfo:
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise HeaderError(f"tensor name of {len(name)} characters", code="header-tensor")
    if not isinstance(value, dict) or set(value) != _TENSOR_FIELDS:
        raise HeaderError(
            f"{name}: fields are not dtype, shape and data_offsets", code="header-tensor"
        )
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise HeaderError(f"{name}: unknown dtype {str(dtype)[:40]!r}", code="header-tensor")
    shape = _naturals(name, "shape", value["shape"])
    offsets = _naturals(name, "data_offsets", value["data_offsets"])
    if len(shape) > MAX_DIMENSIONS:
        raise HeaderError(f"{name}: {len(shape)} dimensions", code="header-tensor")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderError(f"{name}: data_offsets {offsets[:4]}", code="header-offsets")
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if bits != 8 * (offsets[1] - offsets[0]):
        raise HeaderError(
            f"{name}: {dtype} {list(shape)} does not take {offsets[1] - offsets[0]} bytes",
            code="header-tensor",
        )
    return TensorInfo(name, dtype, shape, offsets[0], offsets[1])


def _naturals(name: str, field: str, value: Any) -> tuple[int, ...]:
    # `type is int`: True would pass as 1 with isinstance.
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise HeaderError(f"{name}: {field} is not a list of naturals", code="header-tensor")
    return tuple(value)


def _check_offsets(tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    position = 0
    for info in sorted(tensors.values(), key=lambda item: (item.begin, item.end)):
        if info.begin != position:
            kind = "overlaps its neighbour" if info.begin < position else "leaves a gap before it"
            raise HeaderError(f"{info.name}: {kind} at byte {info.begin}", code="header-offsets")
        position = info.end
    if position > data_bytes:
        raise HeaderError(
            f"tensors need {position} bytes, the file holds {data_bytes}", code="header-truncated"
        )
    if position < data_bytes:
        raise HeaderError(
            f"{data_bytes - position} bytes behind the last tensor", code="header-offsets"
        )


def _scan(file: BinaryIO, header: Header, info: TensorInfo) -> TensorStats:
    bits = _FLOAT_BITS[info.dtype]
    unsigned = np.dtype(bits.integers)
    magnitude = unsigned.type((1 << (8 * unsigned.itemsize - 1)) - 1)
    file.seek(header.data_offset_bytes + info.begin)
    left = info.end - info.begin
    largest = 0
    while left:
        piece = file.read(min(left, _SCAN_BYTES))
        if len(piece) == 0 or len(piece) % unsigned.itemsize:
            raise HeaderError(f"{info.name}: file became shorter", code="header-truncated")
        left -= len(piece)
        largest = max(largest, int((np.frombuffer(piece, unsigned) & magnitude).max()))
    finite = largest < bits.exponent
    return TensorStats(finite, largest == 0, _as_float(largest, info.dtype) if finite else math.inf)


def _as_float(magnitude_bits: int, dtype: str) -> float:
    if dtype == "BF16":
        magnitude_bits, dtype = magnitude_bits << 16, "F32"
    bits = _FLOAT_BITS[dtype]
    return float(np.array([magnitude_bits], bits.integers).view(bits.floats)[0])
