"""The training loop shared by the base model and its adapters."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from serving.embedded.store import say


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    steps: int
    rate: float
    warmup: int = 50
    cooldown: float = 0.5
    decay: float = 0.02


def rate_at(plan: Plan, step: int) -> float:
    """Return the learning rate: warm up, hold, then fall to almost nothing."""
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    left = (plan.steps - step) / max(1.0, plan.steps * plan.cooldown)
    return plan.rate * max(0.01, math.sin(min(1.0, left) * math.pi / 2) ** 2)


def loss_of(model: PreTrainedModel, ids: torch.Tensor, learn: torch.Tensor) -> torch.Tensor:
    """Return the loss on the marked tokens; logits of other places are never computed."""
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = learn[:, 1:]
    return functional.cross_entropy(model.lm_head(hidden[wanted]), ids[:, 1:][wanted])


def fit(
    model: PreTrainedModel,
    data: Iterator[tuple[torch.Tensor, torch.Tensor]],
    plan: Plan,
    on_step: Callable[[int], None] = lambda _: None,
) -> float:
    """Train the parameters that ask for gradients; return the seconds that it took."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=plan.rate, betas=(0.9, 0.98), weight_decay=plan.decay)
    model.train()
    started, seen, recent = time.monotonic(), 0, 0.0
    for step in range(plan.steps):
        ids, learn = next(data)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(plan, step)
        loss = loss_of(model, ids, learn)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen += ids.numel()
        value = float(loss.detach())
        recent = value if step == 0 else 0.95 * recent + 0.05 * value
        if step % 25 == 24:
            spent = time.monotonic() - started
            say(f"step {step + 1}/{plan.steps} loss {recent:.4f} tokens {seen} {spent:.0f} s")
        on_step(step + 1)
    return time.monotonic() - started
