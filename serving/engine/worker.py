"""What vLLM's worker can be asked beyond its own calls: its slots, and to unpin one.

Each question makes the worker spin on its queue for a while: for rare moves and for tests.
"""

from __future__ import annotations

from typing import Any


class WorkerExtension:
    """vLLM mixes this into its worker class (``worker_extension_cls``)."""

    model_runner: Any

    def graftwork_slots(self) -> list[int]:
        """Adapters (by vLLM's number) that are in a slot of the batch now."""
        return list(self._graftwork_manager()._active_adapters)  # noqa: SLF001 - no other way

    def graftwork_unpin(self, number: int) -> None:
        """Let an adapter that was pinned leave its slot and the CPU's cache again; idempotent."""
        manager = self._graftwork_manager()
        for cache in (manager._active_adapters, manager._registered_adapters):  # noqa: SLF001
            cache.pinned_items.discard(number)

    def _graftwork_manager(self) -> Any:
        return self.model_runner.lora_manager._adapter_manager  # noqa: SLF001
