"""The one place that imports vLLM: the base model, its OpenAI ASGI app, and adapters by content.

vLLM's own runtime-LoRA HTTP routes stay off: adapters come and go through ``LoadedAdapters``.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from adapters.format.base_model import BaseFacts
from adapters.format.files import reason
from serving.config.settings import EngineSettings
from serving.engine.grammars import ending_streams, refusing_endless_grammars
from serving.engine.loaded import EngineError, LoadedAdapters
from serving.engine.warm import warm_up
from serving.engine.work import Processed, processed

_ON_GPU = {"worker_extension_cls": "serving.engine.worker.WorkerExtension"}
# What the module corrects when vLLM's workers import it is told there.
_CPU_EXTENSION = "serving.engine.cpu_lora.WorkerExtension"
# Spelt out, because vLLM turns its short name "uni" into "mp" on the CPU: a worker process of its
# own, to bind threads to cores. Both processes wait for each other by spinning (decision 0014).
_ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_ALONE_STOPS_S = 1.0
_BACKENDS_WITHOUT_WHITESPACE = frozenset({"auto", "xgrammar", "guidance"})
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


class Engine(Protocol):
    """What a replica needs from an engine that was started."""

    @property
    def adapters(self) -> LoadedAdapters: ...
    def asgi_app(self) -> Any: ...
    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]: ...
    def processed(self) -> Processed | None: ...


class VllmEngine:
    """vLLM's ``AsyncLLM`` with its OpenAI-compatible ASGI app."""

    def __init__(self, settings: EngineSettings, base_id: str, model: str) -> None:
        self._settings = settings
        self._base_id = base_id
        self._model = model
        self._client: Any = None
        self._app: Any = None
        self._answering: Any = None
        self._adapters: LoadedAdapters | None = None
        self._probes = itertools.count(1)

    @property
    def adapters(self) -> LoadedAdapters:
        """The adapters in the engine; it must have been started."""
        assert self._adapters is not None
        return self._adapters

    @property
    def max_model_len(self) -> int:
        """Context window in tokens."""
        return int(self._client.model_config.max_model_len)

    async def start(self) -> None:
        """Load the base model and build vLLM's own ASGI app. Raises what vLLM raises."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app
        from vllm.exceptions import VLLMValidationError
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        args = arguments(self._settings, self._base_id, self._model)
        engine_args = AsyncEngineArgs.from_cli_args(args)
        usage = UsageContext.OPENAI_API_SERVER
        vllm_config = engine_args.create_engine_config(usage_context=usage)
        if self._settings.disable_any_whitespace:
            _without_whitespace(vllm_config.structured_outputs_config)
        self._client = AsyncLLM.from_vllm_config(vllm_config=vllm_config, usage_context=usage)
        self._client.generate = refusing_endless_grammars(
            self._client.generate, VLLMValidationError
        )
        await self._client.reset_mm_cache()
        tasks = await self._client.get_supported_tasks()
        app = build_app(args, tasks, self._client.model_config)
        await init_app_state(self._client, app.state, args, tasks)
        # vLLM's error handler reads its launcher's server from the state.
        app.state.server = argparse.Namespace(should_exit=False)
        self._app, self._answering = app, ending_streams(app)
        served = app.state.openai_serving_models.lora_requests
        self._adapters = LoadedAdapters(
            self._client, served, _lora_request, beside=self._loads_beside()
        )

    async def warm_up(self, base: BaseFacts) -> None:
        """Have everything compiled that requests need. Raises what vLLM raises."""
        await warm_up(self._client, base, _lora_request)

    def _loads_beside(self) -> bool:
        from vllm.platforms import current_platform

        wanted = self._settings.load_beside
        return not current_platform.is_cpu() if wanted is None else wanted

    def asgi_app(self) -> Any:
        """vLLM's OpenAI application; internal, to be guarded by a secret."""
        return self._answering

    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]:
        """Log probability (nats) of each prompt token after the first, with an adapter or without.

        One prompt after the other: each makes one decoding step of those under way a little longer,
        where all at once would make one step much longer. Raises ``EngineError``.
        """
        lora = self.adapters.request(name) if name else None
        try:
            return [await self._score_one(lora, prompt) for prompt in prompts]
        except Exception as error:
            what = name or "the base"
            raise EngineError(f"the engine did not score {what}: {reason(error)}") from error

    async def _score_one(self, lora: Any, prompt: str) -> list[float]:
        from vllm import SamplingParams

        final: Any = None
        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        request_id = f"probe-{next(self._probes)}"
        async for output in self._client.generate(prompt, params, request_id, lora_request=lora):
            final = output
        tokens = zip(final.prompt_token_ids, final.prompt_logprobs, strict=True)
        return [entry[token].logprob for token, entry in tokens if entry]

    def processed(self) -> Processed | None:
        """Tokens since the start, as vLLM counts them; None with its ``disable_log_stats``."""
        return processed()

    async def check(self) -> None:
        """Raises when the engine is dead."""
        await self._client.check_health()

    async def stop(self) -> None:
        """Stop the engine's processes; no request is under way any more."""
        if self._client is None:
            return
        # Alone, the core has nobody to take leave of, and needs seconds to unload its libraries.
        alone = self._client.vllm_config.parallel_config.world_size == 1
        await asyncio.to_thread(self._client.shutdown, _ALONE_STOPS_S if alone else None)


def _lora_request(name: str, number: int, path: str) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name=name, lora_int_id=number, lora_path=path)


def arguments(settings: EngineSettings, base_id: str, model: str) -> argparse.Namespace:
    """What vLLM's own server takes on its command line: engine and frontend arguments together."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import FrontendArgs
    from vllm.platforms import current_platform

    merged = {
        **_defaults(FrontendArgs),
        **_defaults(AsyncEngineArgs),
        "model": model,
        "served_model_name": [base_id],
        "enable_lora": True,
        "max_loras": settings.max_loras,
        "max_cpu_loras": settings.max_cpu_loras,
        "max_lora_rank": settings.max_lora_rank,
        "disable_uvicorn_access_log": True,
        "enable_prompt_tokens_details": True,
        **(_on_cpu(settings.vllm) if current_platform.is_cpu() else _ON_GPU),
        **settings.vllm,
    }
    return argparse.Namespace(**merged)


def _without_whitespace(structured_outputs: Any) -> None:
    """Have grammars leave no room for white space between JSON tokens."""
    # Set afterwards: at its making vLLM takes it only with a fixed backend, and a fixed backend
    # refuses schemas that `auto` hands on to another one. Every backend here reads it.
    if structured_outputs.backend in _BACKENDS_WITHOUT_WHITESPACE:
        structured_outputs.disable_any_whitespace = True


def _on_cpu(vllm: Mapping[str, Any]) -> dict[str, Any]:
    """What the CPU needs beyond vLLM's own choices; the deploy file's arguments win."""
    several = any(vllm.get(name, 1) != 1 for name in _PARALLEL)
    executor = {} if several else {"distributed_executor_backend": _ONE_PROCESS}
    return {"worker_extension_cls": _CPU_EXTENSION, **executor}


def _defaults(kind: Any) -> dict[str, Any]:
    """Field defaults of one of vLLM's argument dataclasses."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
    return values
