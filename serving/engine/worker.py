"""What vLLM's worker can be asked beyond its own calls: its slots, to unpin one, to load beside.

Each question makes the worker spin on its queue for a while: for rare moves and for tests.
"""

from __future__ import annotations

from typing import Any

from serving.engine.beside import ConcurrentLoads


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

    def graftwork_begin(self, name: str, number: int, path: str) -> str:
        """Begin to load an adapter beside the steps; see ``Beside.begin``."""
        from vllm.lora.request import LoRARequest

        request = LoRARequest(lora_name=name, lora_int_id=number, lora_path=path)
        return self._graftwork_beside().begin(request)

    def graftwork_advance(self, number: int) -> str:
        """How far it is; see ``Beside.advance``."""
        return self._graftwork_beside().advance(number)

    def graftwork_abandon(self, number: int) -> None:
        """Forget it; idempotent."""
        self._graftwork_beside().abandon(number)

    def _graftwork_beside(self) -> ConcurrentLoads:
        runner = self.model_runner
        found: ConcurrentLoads | None = vars(runner).get("graftwork_beside")
        if found is None:
            found = runner.graftwork_beside = ConcurrentLoads(runner.lora_manager, runner.device)
        return found

    def _graftwork_manager(self) -> Any:
        return self.model_runner.lora_manager._adapter_manager  # noqa: SLF001
