"""The model that learns: a base with a LoRA on it. The only file below serving with torch.

The base is frozen: in bfloat16 on CUDA, and on CPUs that multiply it natively where the base is
large enough to gain by it; else in float32. The LoRA's weights and the optimiser's state are
float32 everywhere. Logits are computed for trained tokens only, of which a short answer has few.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from adapters.distill.batches import Batch
from adapters.distill.checkpoint import Arrays, as_arrays, part
from adapters.distill.settings import Plan

_BETAS: Final = (0.9, 0.98)
_CLIP: Final = 1.0
_SAME_LOGITS: Final = 1e-2
_HALF_FROM: Final = 50_000_000
"""Parameters of a base whose products outweigh the conversions (decision 0041)."""
_CHECKPOINTED_FROM: Final = 1_000_000_000
"""Parameters of a base whose activations do not fit beside it on one card."""


class OutOfMemory(Exception):
    """The training does not fit; the message says what to make smaller."""


def on_gpu() -> bool:
    """Whether CUDA is there and this process may use it."""
    return bool(torch.cuda.is_available())


def load_tokenizer(base: Path) -> Any:
    """The served tokenizer. Raises ``OSError`` or ``ValueError``."""
    return AutoTokenizer.from_pretrained(base, local_files_only=True)


class Student:
    """A base model with a LoRA on it.

    Args:
        base: Hugging Face directory.
        gpu_share: of the card's memory.

    Raises ``OSError`` or ``ValueError`` when it cannot be read.

    Attributes:
        parameters: of the base.
        window: tokens that the base was made for.
        ends: ids at which its generation stops.
    """

    def __init__(self, base: Path, gpu_share: float = 1.0) -> None:
        logging.disable_progress_bar()
        self._cuda = on_gpu()
        if self._cuda and gpu_share < 1:
            torch.cuda.set_per_process_memory_fraction(gpu_share)
        several = self._cuda and torch.cuda.device_count() > 1
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            base,
            dtype="auto",
            local_files_only=True,
            attn_implementation="sdpa",
            # Of several cards each holds some layers: a base too large for one can still learn.
            device_map="auto" if several else None,
        )
        self.parameters = sum(weight.numel() for weight in self._model.parameters())
        self._half = self._cuda or (self.parameters >= _HALF_FROM and _multiplies_bfloat16())
        self._model.to(torch.bfloat16 if self._half else torch.float32)
        if self._cuda and not several:
            self._model.to("cuda")
        self._device = self._model.get_input_embeddings().weight.device
        self._model.config.use_cache = False
        text = self._model.config.get_text_config()
        self.window = int(getattr(text, "max_position_embeddings", 0) or 2048)
        self.ends = _ends(self._model)
        self._lora: Any = None
        self._trained: dict[str, torch.nn.Parameter] = {}
        self._optimizer: Any = None
        self._short = False

    def prepare(self, plan: Plan, start_from: Path | None = None) -> None:
        """Put a new LoRA on it, or the one from a PEFT directory of the same shape."""
        torch.manual_seed(plan.seed)
        if self._lora is not None:
            self._model = self._lora.unload()
        targets = plan.target_modules
        self._lora = get_peft_model(
            self._model,
            LoraConfig(
                r=plan.rank,
                lora_alpha=int(plan.alpha) if plan.alpha.is_integer() else plan.alpha,
                lora_dropout=0.0,
                bias="none",
                target_modules=targets if isinstance(targets, str) else list(targets),
                task_type="CAUSAL_LM",
            ),
        )
        if start_from is not None:
            weights = load_file(start_from / "adapter_model.safetensors")
            set_peft_model_state_dict(self._lora, weights)
        if self._cuda and self.parameters >= _CHECKPOINTED_FROM:
            self._model.enable_input_require_grads()
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        self._lora.train()
        named = self._lora.named_parameters()
        self._trained = {name: w for name, w in named if w.requires_grad}
        for weight in self._trained.values():
            weight.data = weight.data.float()
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=plan.rate, betas=_BETAS, weight_decay=0.0, fused=True
        )
        self._short = self._shortcut_holds()

    def step(self, batches: Sequence[Batch], rate: float, kl: float) -> float:
        """One update; the mean loss before it, nats per trained token. Raises ``OutOfMemory``."""
        total = sum(batch.trained for batch in batches)
        summed = 0.0
        with _memory_errors():
            for batch in batches:
                loss = self._loss(batch, kl) / total
                loss.backward()
                summed += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(self._trained.values(), _CLIP)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
            self._optimizer.zero_grad()
        return summed

    def measure(self, batches: Sequence[Batch]) -> float:
        """The mean loss, nats per trained token; nothing learns. Raises ``OutOfMemory``."""
        self._lora.eval()
        with torch.no_grad(), _memory_errors():
            summed = sum(float(self._loss(batch, 0.0)) for batch in batches)
        self._lora.train()
        return summed / sum(batch.trained for batch in batches)

    def scores(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log probability (nats) of each token after the first, as an engine scores a prompt."""
        self._lora.eval()
        found = []
        with torch.no_grad(), self._autocast():
            for ids in texts:
                given = torch.tensor([list(ids)], device=self._device)
                logits = self._lora(input_ids=given).logits[0, :-1].float()
                chosen = functional.log_softmax(logits, -1).gather(1, given[0, 1:, None])
                found.append(chosen[:, 0].tolist())
        self._lora.train()
        return found

    def base_alone(self) -> AbstractContextManager[Any]:
        """While it is entered, the LoRA does nothing."""
        alone: AbstractContextManager[Any] = self._lora.disable_adapter()
        return alone

    def weights(self) -> Arrays:
        """A copy of what has been learned."""
        return {name: _array(weight) for name, weight in self._trained.items()}

    def set_weights(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put learned weights back."""
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(torch.from_numpy(arrays[name]))

    def round_weights(self, dtype: str) -> None:
        """Round what was learned to the type it is saved in, so that scores are the saved one's."""
        with torch.no_grad():
            for weight in self._trained.values():
                weight.copy_(weight.to(_dtype(dtype)))

    def state(self) -> Arrays:
        """Everything that another process needs to go on: weights, optimiser, random state."""
        moments: Arrays = {}
        for name, weight in self._trained.items():
            for kind, value in self._optimizer.state[weight].items():
                moments[f"{kind}/{name}"] = _array(value)
        return (
            as_arrays("weights", self.weights())
            | as_arrays("moments", moments)
            | {"random": torch.get_rng_state().numpy().copy()}
        )

    def set_state(self, arrays: Arrays) -> None:
        """Go on from ``state()``."""
        self.set_weights(part("weights", arrays))
        moments = part("moments", arrays)
        for name, weight in self._trained.items():
            self._optimizer.state[weight] = {
                kind: torch.from_numpy(moments[f"{kind}/{name}"]).to(weight.device)
                for kind in ("step", "exp_avg", "exp_avg_sq")
                if f"{kind}/{name}" in moments
            }
        torch.set_rng_state(torch.from_numpy(arrays["random"]))

    def save(self, directory: Path, base_id: str, dtype: str) -> None:
        """Write a PEFT directory. Raises ``OSError``."""
        config = self._lora.peft_config["default"]
        config.base_model_name_or_path = base_id
        config.inference_mode = True
        self._lora.to(_dtype(dtype))
        # The vocabulary is never changed here; left to itself PEFT asks the hub whether it was.
        self._lora.save_pretrained(directory, save_embedding_layers=False)
        for file in directory.iterdir():
            file.chmod(0o644)

    def _loss(self, batch: Batch, kl: float) -> torch.Tensor:
        """Summed over the trained tokens."""
        targets = torch.from_numpy(batch.targets).to(self._device)
        with self._autocast():
            logits = self._logits(batch).float()
        each = functional.cross_entropy(logits, targets, reduction="none")
        if kl == 0 or batch.teacher is None:
            return each.sum()
        return _towards_teacher(each, functional.log_softmax(logits, -1), batch.teacher, kl).sum()

    def _logits(self, batch: Batch) -> torch.Tensor:
        """Of the places whose next token is trained, in row-major order."""
        wanted = torch.from_numpy(batch.wanted).to(self._device)
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(batch.ids).to(self._device),
            "position_ids": torch.from_numpy(batch.positions).to(self._device),
            "use_cache": False,
        }
        if batch.segments is not None:
            segments = torch.from_numpy(batch.segments).to(self._device)
            inputs["attention_mask"] = _isolated(segments, self._model.dtype)
        if self._short:
            hidden = self._model.get_decoder()(**inputs).last_hidden_state
            return self._model.get_output_embeddings()(hidden[wanted])
        return self._model(**inputs).logits[wanted]

    def _shortcut_holds(self) -> bool:
        """Whether decoder and head alone give this architecture's logits: some scale or cap."""
        given = torch.arange(1, 9, device=self._device)[None]
        try:
            with torch.no_grad(), self._autocast():
                hidden = self._model.get_decoder()(input_ids=given).last_hidden_state
                ours = self._model.get_output_embeddings()(hidden)
                whole = self._model(input_ids=given).logits
        except (AttributeError, TypeError, RuntimeError):
            return False
        return ours.shape == whole.shape and bool((ours - whole).abs().max() < _SAME_LOGITS)

    def _autocast(self) -> AbstractContextManager[Any]:
        held: AbstractContextManager[Any] = contextlib.nullcontext()
        if self._half:
            held = torch.autocast(self._device.type, dtype=torch.bfloat16)
        return held


def _isolated(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """An additive mask: each token sees its own example's tokens up to itself."""
    length = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    past = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    mask = torch.zeros(1, 1, length, length, dtype=dtype, device=segments.device)
    return mask.masked_fill(~(same & past)[:, None], torch.finfo(dtype).min)


def _towards_teacher(
    each: torch.Tensor,
    ours: torch.Tensor,
    teacher: Sequence[Mapping[int, float]],
    kl: float,
) -> torch.Tensor:
    """Part of each token's loss becomes its distance from the teacher's distribution.

    Of that only the top is known: what is left of either's probability is one more outcome.
    """
    known = [at for at, given in enumerate(teacher) if given]
    rows = [row for row in known for _ in teacher[row]]
    ids = [token for row in known for token in teacher[row]]
    theirs = torch.tensor(
        [p for row in known for p in teacher[row].values()], device=each.device, dtype=ours.dtype
    )
    at = torch.tensor(rows, device=each.device)
    top = ours[at, torch.tensor(ids, device=each.device)]
    zeros = torch.zeros_like(each)
    distance = zeros.index_add(0, at, theirs * (theirs.clamp_min(1e-12).log() - top))
    their_rest = (1 - zeros.index_add(0, at, theirs)).clamp_min(1e-6)
    our_rest = (1 - zeros.index_add(0, at, top.exp())).clamp_min(1e-6)
    distance = distance + their_rest * (their_rest.log() - our_rest.log())
    share = zeros.index_fill(0, torch.tensor(known, device=each.device), kl)
    return (1 - share) * each + share * distance


def _multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; without them it is slower than float32."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(said)


def _ends(model: Any) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    if given is None:
        given = getattr(model.config, "eos_token_id", None)
    return frozenset(given if isinstance(given, list) else [] if given is None else [given])


def _array(value: torch.Tensor) -> NDArray[Any]:
    return np.array(value.detach().float().cpu().numpy())


def _dtype(name: str) -> torch.dtype:
    """By its name in safetensors; what it does not know is float32."""
    return {"BF16": torch.bfloat16, "F16": torch.float16}.get(name, torch.float32)


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise OutOfMemory("no memory for a step: make batch_tokens smaller") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise OutOfMemory("no memory for a step: make batch_tokens smaller") from error
