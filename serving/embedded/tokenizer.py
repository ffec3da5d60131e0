"""The byte-level BPE tokenizer of the embedded model and its chat template."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from serving.embedded.corpus.dialog import Dialog
from serving.embedded.corpus.dialogs import sample_dialog
from serving.embedded.corpus.extract import sample_extract_dialog
from serving.embedded.corpus.returns import sample_returns_dialog

VOCAB_SIZE: Final = 2048
END_OF_TEXT: Final = "<|endoftext|>"
TURN_START: Final = "<|im_start|>"
TURN_END: Final = "<|im_end|>"
_MARKS: Final = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_TEMPLATE: Final = Path(__file__).resolve().parent / "chat_template.jinja"

# The split rules of Qwen2, which loaders rebuild from the model type; every digit stands alone.
_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _texts(dialog: Dialog) -> Iterator[str]:
    for message in dialog.messages:
        yield str(message["content"])
        for call in message.get("tool_calls", ()):
            yield str(call["function"])
    for tool in dialog.tools:
        yield str(tool).replace("'", '"')


def _corpus(seed: int, dialogs: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311 - data, not secrets
    for _ in range(dialogs):
        for make in (sample_dialog, sample_dialog, sample_extract_dialog, sample_returns_dialog):
            yield from _texts(make(rng, "train"))


def _empty_tokenizer() -> Tokenizer:
    core = Tokenizer(BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    return core


def build_tokenizer(seed: int, dialogs: int = 8000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on generated dialogs."""
    core = _empty_tokenizer()
    trainer = BpeTrainer(
        vocab_size=VOCAB_SIZE - len(_MARKS),
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(seed, dialogs), trainer)
    core.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in _MARKS])
    options: dict[str, Any] = {
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [TURN_START, TURN_END],
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **options)
    tokenizer.chat_template = _TEMPLATE.read_text(encoding="utf-8").rstrip("\n")
    return tokenizer
