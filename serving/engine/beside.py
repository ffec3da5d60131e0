"""An adapter comes into vLLM's worker beside its decoding steps, not between two of them.

vLLM's ``add_lora`` reads, converts, page-locks and copies within one call of the engine's only
loop: at a 7B shape every stream waited 155 ms for it (decision 0035). Here a thread of the worker
reads and converts, page-locks in few large blocks, and copies into a free slot on a stream of its
own. The loop itself is asked only for what it alone may change, its tables, which takes
microseconds; it is asked until the thread is done.

What vLLM's own call would do is done by vLLM's own functions, so both ways end in the same state.
"""

# ruff: noqa: SLF001 - vLLM offers no other way to its manager's tables

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from serving.engine.loaded import COPYING, HELD, IN_SLOT, NOT_HERE, READING

_BLOCK_BYTES = 16 << 20
_ALIGNED_BYTES = 256
# What the thread does in Python is short, but there is much of it. The interpreter hands its lock
# over every 5 ms, which is most of a decoding step; while a load is under way, sooner.
_SWITCH_S = 0.0005
_PAUSE_S = 0.0002


@dataclass
class _Load:
    """One adapter on its way."""

    request: Any
    read: Future[Any]
    lora: Any = None
    copied: Future[None] | None = None


class ConcurrentLoads:
    """Loads of one worker. Everything but ``_read`` and ``_copy`` belongs to the engine's loop.

    Args:
        manager: vLLM's ``LRUCacheWorkerLoRAManager``.
        device: where the slots are.
    """

    def __init__(self, manager: Any, device: torch.device) -> None:
        self._manager = manager
        self._adapters = manager._adapter_manager
        self._device = device
        self._loads: dict[int, _Load] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="graftwork-load")
        if device.type == "cuda":
            _pin_once()

    def begin(self, request: Any) -> str:
        """Begin to read; answers ``READING``, or ``NOT_HERE`` where ``add_lora`` has to do it."""
        adapters = self._adapters
        if adapters._is_moe or adapters.is_pooling_model or adapters.supports_mm:
            return NOT_HERE
        number = request.lora_int_id
        if number not in self._loads:
            # One at a time: of what is left, nobody waits for the end.
            for left in list(self._loads):
                self.abandon(left)
            self._loads[number] = _Load(request, self._pool.submit(self._read, request))
        return READING

    def advance(self, number: int) -> str:
        """How far it is; does what only the loop may do. Raises what reading or copying raised."""
        load = self._loads.get(number)
        if load is None:
            return self._where(number)
        if not load.read.done():
            return READING
        if load.lora is None:
            load.lora = load.read.result()
            self._admit(load)
        if load.copied is not None:
            if not load.copied.done():
                return COPYING
            load.copied.result()
        self._unpin(number)
        del self._loads[number]
        return self._where(number)

    def _where(self, number: int) -> str:
        return IN_SLOT if number in self._adapters._active_adapters else HELD

    def abandon(self, number: int) -> None:
        """Forget it, whatever came of it; idempotent."""
        load = self._loads.pop(number, None)
        if load is None:
            return
        load.read.cancel()
        if load.copied is not None:
            # Who copies into a slot must be done before another adapter may have it.
            _ended(load.copied)
        self._unpin(number)
        self._adapters.remove_adapter(number)

    def _read(self, request: Any) -> Any:
        """In the thread: vLLM's own model of the adapter, packed as its modules want it."""
        with _interleaved():
            lora = self._manager._load_adapter(request)
            self._adapters._create_merged_loras_inplace(lora)
            if self._device.type == "cuda":
                _page_lock(lora)
        return lora

    def _admit(self, load: _Load) -> None:
        """Register it, and have it copied into a slot if one is free.

        A slot in use is not taken from its owner: it would be loaded again in the next step. Then
        the first request activates it, as vLLM does.
        """
        adapters, number = self._adapters, load.request.lora_int_id
        if len(adapters) + 1 > adapters.capacity:
            adapters.remove_oldest_adapter()
        adapters._registered_adapters[number] = load.lora
        adapters._registered_adapters.pin(number)
        index = self._free_slot()
        if index is None:
            return
        adapters.lora_index_to_id[index] = number
        adapters._active_adapters[number] = None
        adapters._active_adapters.pin(number)
        before = None
        if self._device.type == "cuda":
            # Kernels that were launched already may still read the slot for its last owner.
            before = torch.cuda.Event()
            before.record(torch.cuda.current_stream(self._device))
        load.copied = self._pool.submit(self._copy, load.lora, index, before)

    def _free_slot(self) -> int | None:
        """One that nobody has, unless others could not be without it."""
        adapters = self._adapters
        pinned = len(adapters._active_adapters.pinned_items)
        if pinned + 1 >= adapters.lora_slots:
            return None
        slots = enumerate(adapters.lora_index_to_id)
        return next((index for index, owner in slots if owner is None), None)

    def _copy(self, lora: Any, index: int, before: Any) -> None:
        """In the thread: fill the slot, module by module."""
        with _interleaved(), self._own_stream(before):
            for name, module in self._adapters.modules.items():
                weights = self._adapters._get_lora_layer_weights(lora, name)
                if weights:
                    module.set_lora(index, weights.lora_a, weights.lora_b)
                else:
                    module.reset_lora(index)
                time.sleep(_PAUSE_S)

    @contextmanager
    def _own_stream(self, before: Any) -> Iterator[None]:
        """Copies run beside the step's kernels, and are over when the block is left."""
        if self._device.type != "cuda":
            yield
            return
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream(self._device)
            stream.wait_event(before)
            with torch.cuda.stream(stream):
                yield
            stream.synchronize()

    def _unpin(self, number: int) -> None:
        for cache in (self._adapters._active_adapters, self._adapters._registered_adapters):
            cache.pinned_items.discard(number)


@contextmanager
def _interleaved() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _ended(future: Future[None]) -> None:
    """Wait for its end, however it ends."""
    future.cancel()
    if not future.cancelled():
        future.exception()


def _pin_once() -> None:
    """vLLM page-locks each tensor twice, before packing and after; we do it once, in blocks."""
    from vllm.lora import lora_model, model_manager

    lora_model.PIN_MEMORY = False
    model_manager.PIN_MEMORY = False


def _page_lock(lora: Any) -> None:
    """Move an adapter's tensors into a few page-locked blocks, in place."""
    places = list(_tensors(lora))
    block, free = torch.empty(0, dtype=torch.uint8), 0
    left = sum(_aligned(tensor) for _, _, tensor in places)
    for owner, key, tensor in places:
        size = _aligned(tensor)
        if free + size > block.numel():
            length = max(size, min(_BLOCK_BYTES, left))
            block, free = torch.empty(length, dtype=torch.uint8, pin_memory=True), 0
        raw = block[free : free + tensor.numel() * tensor.element_size()]
        locked = raw.view(tensor.dtype).view(tensor.shape)
        locked.copy_(tensor)
        if isinstance(owner, list):
            owner[key] = locked
        else:
            setattr(owner, key, locked)
        free += size
        left -= size
        time.sleep(0)


def _aligned(tensor: torch.Tensor) -> int:
    size = tensor.numel() * tensor.element_size()
    return -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES


def _tensors(lora: Any) -> Iterator[tuple[Any, Any, torch.Tensor]]:
    """Every tensor of an adapter with what holds it: a list and a place, or an object and a name.

    Packed modules share the tensors of none other, so that each is moved once.
    """
    for weights in lora.loras.values():
        for name in ("lora_a", "lora_b"):
            held = getattr(weights, name)
            if isinstance(held, torch.Tensor):
                yield weights, name, held
            elif isinstance(held, list):
                yield from ((held, n, each) for n, each in enumerate(held) if each is not None)
