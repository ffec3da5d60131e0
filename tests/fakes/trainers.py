"""Folders as trainers leave them, around adapters for a tiny base: what people really push.

Each writer puts the layout of one program into a directory and returns where its adapter lies.
Pickles among the files would end the process that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from adapters.format.base_model import BaseFacts
from tests.fakes.peft_dirs import good, safetensors_bytes

PICKLE = b"cbuiltins\nexec\n(S'raise SystemExit'\ntR."
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin")

Writer = Callable[[Path, BaseFacts], str]


def _fill(directory: Path, names: Iterable[str]) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_pickle = path.suffix in {".pt", ".pth", ".bin", ".pkl", ".distcp"}
        path.write_bytes(PICKLE if is_pickle else b"{}")


def _adapter(directory: Path, base: BaseFacts, seed: int = 1, **settings: object) -> None:
    adapter = good(base, seed=seed)
    adapter.config.update(settings)
    adapter.write(directory)
    _fill(directory, (*TOKENIZER, "chat_template.jinja", "README.md", "added_tokens.json"))


def transformers_checkpoint(directory: Path, base: BaseFacts) -> str:
    """One ``checkpoint-500`` of transformers' trainer, pushed as it is."""
    _adapter(directory, base)
    _fill(directory, (*STATE, "trainer_state.json"))
    return ""


def trl(directory: Path, base: BaseFacts) -> str:
    """TRL's output directory: the adapter, earlier checkpoints, logs, the reference adapter."""
    _adapter(directory, base)
    for step in (500, 1000):
        _adapter(directory / f"checkpoint-{step}", base, seed=step)
        _fill(directory / f"checkpoint-{step}", (*STATE, "trainer_state.json"))
    _adapter(directory / "reference", base, seed=7)
    events = "runs/Nov26_12-00-00_host/events.out.tfevents.1764158400.host.1.0"
    _fill(directory, (events, ".gitattributes", "training_args.bin", "completions/step_1.parquet"))
    return ""


def llama_factory(directory: Path, base: BaseFacts) -> str:
    """LLaMA-Factory's: results, pictures of the loss, and a tokenizer's own code."""
    _adapter(directory, base)
    _fill(
        directory,
        (
            "all_results.json",
            "train_results.json",
            "trainer_log.jsonl",
            "trainer_state.json",
            "training_args.bin",
            "training_args.yaml",
            "training_loss.png",
            "running_log.txt",
            "qwen.tiktoken",
            "tokenization_qwen.py",
        ),
    )
    _adapter(directory / "checkpoint-20", base, seed=20)
    return ""


def axolotl(directory: Path, base: BaseFacts) -> str:
    """Axolotl's with DeepSpeed: sharded states, a script that converts them."""
    _adapter(directory, base)
    _fill(
        directory / "checkpoint-30",
        (
            *STATE,
            "latest",
            "zero_to_fp32.py",
            "rng_state_0.pth",
            "global_step30/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
            "global_step30/mp_rank_00_model_states.pt",
            "pytorch_model_fsdp_0/__0_0.distcp",
        ),
    )
    _adapter(directory / "checkpoint-30", base, seed=30)
    _fill(directory, ("config.json", "debug.log", "tokens_per_second.csv", "zero_to_fp32.py"))
    return ""


def unsloth(directory: Path, base: BaseFacts) -> str:
    """Unsloth's: trained on a mirror in four bits, with a merged model beside it."""
    mirror = f"unsloth/{base.base_id}-unsloth-bnb-4bit"
    _adapter(directory, base, base_model_name_or_path=mirror)
    _fill(directory, ("config.json", "model.safetensors.index.json", "unsloth.Q4_K_M.gguf"))
    merged = safetensors_bytes({})
    (directory / "model-00001-of-00001.safetensors").write_bytes(merged)
    return ""


def torchtune(directory: Path, base: BaseFacts) -> str:
    """torchtune's: one epoch in its own directory, its own pickle beside PEFT's file."""
    _adapter(directory / "epoch_0", base)
    _fill(directory / "epoch_0", ("adapter_model.pt", "original_repo_id.json"))
    (directory / "epoch_0" / "ft-model-00001-of-00001.safetensors").write_bytes(
        safetensors_bytes({})
    )
    _fill(directory, ("recipe_state/recipe_state.pt", "logs/log_1764158400.txt"))
    return "epoch_0"


def named_adapter(directory: Path, base: BaseFacts) -> str:
    """PEFT's for adapters that are not its default one: each in a directory of its own."""
    _adapter(directory / "returns", base)
    _adapter(directory / "refunds", base, seed=2)
    _fill(directory, ("README.md",))
    return "returns"


def default_adapter(directory: Path, base: BaseFacts) -> str:
    """The same, saved below ``default``."""
    _adapter(directory / "default", base)
    _fill(directory, ("README.md", "training_args.bin"))
    return "default"


def last_checkpoint_only(directory: Path, base: BaseFacts) -> str:
    """A run that was cut: nothing at the top, one checkpoint."""
    _adapter(directory / "checkpoint-40", base)
    _fill(directory / "checkpoint-40", STATE)
    _fill(directory, ("config.json", "runs/x/events.out.tfevents.1.host.1.0"))
    return "checkpoint-40"


def verl(directory: Path, base: BaseFacts) -> str:
    """verl's: deep below a step's directory."""
    _adapter(directory / "global_step_100/actor/lora_adapter", base)
    _fill(directory, ("global_step_100/data.pt", "latest_checkpointed_iteration.txt"))
    return "global_step_100/actor/lora_adapter"


TRAINERS: Mapping[str, Writer] = {
    writer.__name__: writer
    for writer in (
        transformers_checkpoint,
        trl,
        llama_factory,
        axolotl,
        unsloth,
        torchtune,
        named_adapter,
        default_adapter,
        last_checkpoint_only,
        verl,
    )
}


def mlx(directory: Path) -> None:
    """MLX's own format under names like PEFT's."""
    _fill(
        directory, ("adapter_config.json", "adapters.safetensors", "0000100_adapters.safetensors")
    )


def kohya(directory: Path) -> None:
    """kohya's: one file for an image model."""
    _fill(directory, ("my_lora.safetensors",))


def torch_save(directory: Path) -> None:
    """PEFT's before safetensors: a pickle."""
    _fill(directory, ("adapter_config.json", "adapter_model.bin", "README.md"))


def whole_model(directory: Path) -> None:
    """A merged model."""
    _fill(directory, ("config.json", "model.safetensors", "tokenizer.json"))


OTHER_FORMATS: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "mlx": (mlx, "MLX"),
    "kohya": (kohya, "kohya"),
    "torch_save": (torch_save, "safe_serialization"),
    "whole_model": (whole_model, "whole model"),
}
"""What cannot be served, and a word that the answer must hold."""
