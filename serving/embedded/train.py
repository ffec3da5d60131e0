"""Train the embedded base model and its adapters from nothing but this repository.

``python -m serving.embedded.train all`` makes everything; ``eval`` measures what is in place.
"""

import argparse
import json
import random
import shutil
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from serving.embedded import BASE_MODEL_ID
from serving.embedded.batches import Sampler, batches
from serving.embedded.corpus.dialogs import sample_dialog, sample_drill
from serving.embedded.corpus.extract import sample_extract_dialog
from serving.embedded.corpus.returns import sample_returns_dialog
from serving.embedded.evaluate import print_report
from serving.embedded.fit import Plan, fit
from serving.embedded.store import replace_directory, say
from serving.embedded.tokenizer import END_OF_TEXT, TURN_END, build_tokenizer

ADAPTERS: Final[dict[str, Sampler]] = {
    "returns": sample_returns_dialog,
    "extract": sample_extract_dialog,
}
_LINEARS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - data, not secrets


def base_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2Config:
    """Return the shape of the base model: 4 layers of width 256, heads of 64."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(TURN_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
    )


def _tidy(folder: Path) -> None:
    """Make what the libraries saved readable by all and the same in every run."""
    settings = folder / "tokenizer_config.json"
    if settings.exists():
        known = json.loads(settings.read_text(encoding="utf-8"))
        known["tokenizer_class"] = "Qwen2Tokenizer"
        for name in ("is_local", "local_files_only"):  # about where it was loaded from
            known.pop(name, None)
        settings.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    lora = folder / "adapter_config.json"
    if lora.exists():
        known = json.loads(lora.read_text(encoding="utf-8"))
        known["target_modules"] = sorted(known["target_modules"])
        lora.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """Save a bfloat16 copy of the model with its tokenizer."""
    ends = [tokenizer.convert_tokens_to_ids(name) for name in (TURN_END, END_OF_TEXT)]

    def write(fresh: Path) -> None:
        copy = Qwen2ForCausalLM(model.config).to(torch.bfloat16)
        copy.load_state_dict(model.state_dict())
        copy.config.dtype = torch.bfloat16
        # The engine's default for who names no temperature: a model so small is lost at 1.
        copy.generation_config = GenerationConfig(
            eos_token_id=ends, pad_token_id=ends[1], do_sample=True, temperature=0.2
        )
        copy.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        _tidy(fresh)

    replace_directory(target, write)
    say(f"saved {target}")


def train_base(args: argparse.Namespace) -> None:
    """Train tokenizer and base model; save now and then, so that a usable one exists early."""
    torch.manual_seed(args.seed)
    target = args.out / "base"
    tokenizer = build_tokenizer(args.seed)
    model = Qwen2ForCausalLM(base_config(tokenizer))
    if args.resume:
        model = Qwen2ForCausalLM.from_pretrained(target, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(target)
    size = sum(weight.numel() for weight in model.parameters())
    say(f"{BASE_MODEL_ID}: {size} parameters, vocabulary {len(tokenizer)}")
    plan = Plan(steps=args.steps or 2000, rate=args.rate or 2e-3)
    lessons = batches(tokenizer, sample_drill, _rng(args.seed + 3), args.tokens)
    talk = batches(tokenizer, sample_dialog, _rng(args.seed + 1), args.tokens)
    drill = 0 if args.resume else plan.steps * 3 // 10
    data = chain(islice(lessons, drill), talk)

    def keep(step: int) -> None:
        if args.save_every and step % args.save_every == 0:
            save_base(model, tokenizer, target)

    seconds = fit(model, data, plan, keep)
    say(f"base: {seconds:.0f} s")
    save_base(model, tokenizer, target)


def _adapter_config() -> LoraConfig:
    return LoraConfig(
        r=8,
        lora_alpha=16,
        lora_dropout=0.0,
        bias="none",
        target_modules=_LINEARS,
        task_type="CAUSAL_LM",
    )


def train_adapter(name: str, args: argparse.Namespace) -> None:
    """Train one adapter on the saved base model."""
    torch.manual_seed(args.seed)
    base = args.out / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = Qwen2ForCausalLM.from_pretrained(base, dtype=torch.float32)
    wrapped = get_peft_model(model, _adapter_config())
    plan = Plan(steps=args.steps or 800, rate=args.rate or 3e-3, decay=0.0)
    data = batches(tokenizer, ADAPTERS[name], _rng(args.seed + 2), args.tokens)
    seconds = fit(model, data, plan)
    say(f"{name}: {seconds:.0f} s")
    target = args.out / "adapters" / name

    def write(fresh: Path) -> None:
        wrapped.to(torch.bfloat16)
        wrapped.peft_config["default"].base_model_name_or_path = BASE_MODEL_ID
        wrapped.save_pretrained(fresh)
        (fresh / "README.md").unlink(missing_ok=True)
        _tidy(fresh)
        if (target / "README.md").exists():
            shutil.copy(target / "README.md", fresh / "README.md")

    replace_directory(target, write)
    say(f"saved {target}")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.embedded.train", description=__doc__)
    parser.add_argument("what", choices=["base", "adapters", *ADAPTERS, "all", "eval"])
    here = Path(__file__).resolve().parent
    parser.add_argument("--out", type=Path, default=here, help="holds base/ and adapters/")
    parser.add_argument("--steps", type=int, default=0, help="0: 2000 for base, 800 per adapter")
    parser.add_argument("--rate", type=float, default=0.0, help="peak learning rate; 0: default")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in a batch")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--save-every", type=int, default=0, help="steps between saves of base")
    parser.add_argument("--resume", action="store_true", help="go on from the saved base")
    parser.add_argument("--samples", type=int, default=400, help="held-out samples per model")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the chosen part."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    if args.what in ("base", "all"):
        train_base(args)
    for name in ADAPTERS:
        if args.what in ("adapters", "all", name):
            train_adapter(name, args)
    if args.what == "eval":
        print_report(args.out, args.samples, args.seed)


if __name__ == "__main__":
    main()
