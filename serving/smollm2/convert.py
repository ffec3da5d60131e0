"""From GGUF to a model directory, in a process of its own: `python -m … WEIGHTS DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from serving.smollm2 import HUB_ID

_MAX_TOKENS = 8192


def convert(weights: Path, target: Path) -> None:
    """Write the model with its weights as bfloat16, which they were before they were quantised."""
    import torch
    import transformers

    packed = getattr(transformers, "GgufConfig", None)
    extra: dict[str, Any] = (
        {} if packed is None else {"quantization_config": packed(dequantize=True)}
    )
    place, name = str(weights.parent), weights.name
    model = transformers.AutoModelForCausalLM.from_pretrained(
        place, gguf_file=name, dtype=torch.float32, local_files_only=True, **extra
    ).to(torch.bfloat16)
    # What is saved is an ordinary model: marks of how it was packed would be believed.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.dtype = torch.bfloat16
    model.config._name_or_path = HUB_ID  # noqa: SLF001 - what transformers itself writes there
    model.save_pretrained(target)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        place, gguf_file=name, local_files_only=True
    )
    tokenizer.model_max_length = _MAX_TOKENS
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
