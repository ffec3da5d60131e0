"""The one place that imports vLLM: the base model, its OpenAI ASGI app, and adapters by content.

vLLM's own runtime-LoRA HTTP routes stay off. An adapter enters through the engine client under its
content-addressed name and leaves through ``remove_lora``; residency is read back from the engine,
never from a list of names.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from serving.config.settings import EngineSettings
from serving.engine.work import Processed, processed

_ON_GPU = {"worker_extension_cls": "serving.engine.worker.WorkerExtension"}
# What the module corrects when vLLM's workers import it is told there.
_CPU_EXTENSION = "serving.engine.cpu_lora.WorkerExtension"
# Spelt out, because vLLM turns its short name "uni" into "mp" on the CPU: a worker process of its
# own, to bind threads to cores. Both processes wait for each other by spinning (decision 0014).
_ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_ALONE_STOPS_S = 1.0
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


class EngineError(Exception):
    """The engine did not do it; it may the next time, or it is dead."""


class EngineRefused(EngineError):
    """The engine is well and does not take these files; it never will."""


@dataclasses.dataclass(frozen=True)
class Held:
    """An adapter that the engine holds now."""

    seconds: float
    """What the load took; 0 when it was there already."""
    resident: frozenset[str]
    """Everything that the engine holds, as it says itself."""


class Engine(Protocol):
    """What a replica needs from an engine."""

    async def start(self) -> None: ...
    def asgi_app(self) -> Any: ...
    async def add(self, name: str, path: str) -> Held: ...
    def close(self, name: str) -> None: ...
    async def pin(self, names: frozenset[str]) -> None: ...
    async def remove(self, name: str) -> frozenset[str]: ...
    async def resident(self) -> frozenset[str]: ...
    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]: ...
    def processed(self) -> Processed | None: ...
    async def check(self) -> None: ...
    async def stop(self) -> None: ...


class VllmEngine:
    """vLLM's ``AsyncLLM`` with its OpenAI-compatible ASGI app."""

    def __init__(self, settings: EngineSettings, base_id: str, model: str) -> None:
        self._settings = settings
        self._base_id = base_id
        self._model = model
        self._client: Any = None
        self._app: Any = None
        self._ids = itertools.count(1)
        self._requests: dict[str, Any] = {}
        self._pinned: frozenset[str] = frozenset()
        # One add at a time: each blocks the engine's step loop for read, parse and copy.
        self._lock = asyncio.Lock()

    @property
    def max_model_len(self) -> int:
        """Context window in tokens."""
        return int(self._client.model_config.max_model_len)

    async def start(self) -> None:
        """Load the base model and build vLLM's own ASGI app. Raises what vLLM raises."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        args = arguments(self._settings, self._base_id, self._model)
        engine_args = AsyncEngineArgs.from_cli_args(args)
        usage = UsageContext.OPENAI_API_SERVER
        vllm_config = engine_args.create_engine_config(usage_context=usage)
        self._client = AsyncLLM.from_vllm_config(vllm_config=vllm_config, usage_context=usage)
        await self._client.reset_mm_cache()
        tasks = await self._client.get_supported_tasks()
        app = build_app(args, tasks, self._client.model_config)
        await init_app_state(self._client, app.state, args, tasks)
        # vLLM's error handler reads its launcher's server from the state.
        app.state.server = argparse.Namespace(should_exit=False)
        self._app = app

    def asgi_app(self) -> Any:
        """vLLM's OpenAI application; internal, to be guarded by a secret."""
        return self._app

    async def add(self, name: str, path: str) -> Held:
        """Load the adapter directory ``path`` under ``name``; idempotent."""
        from vllm.lora.request import LoRARequest

        async with self._lock:
            if name in self._requests and name in (resident := await self.resident()):
                self._open(name)
                return Held(0.0, resident)
            request = LoRARequest(lora_name=name, lora_int_id=next(self._ids), lora_path=path)
            started = time.perf_counter()
            # Asked in one breath: each call on its own waits for the end of a decoding step.
            calls: list[Awaitable[Any]] = [self._load(name, request), self._client.list_loras()]
            answers: Any = await asyncio.gather(*calls, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            added, held = answers
            if not added or request.lora_int_id not in held:
                raise EngineError(f"the engine did not take {name}")
            self._requests[name] = request
            self._open(name)
            return Held(time.perf_counter() - started, self._named(held))

    async def _load(self, name: str, request: Any) -> bool:
        try:
            return bool(await self._client.add_lora(request))
        except Exception as error:
            if self._client.errored:
                raise EngineError(f"the engine died while it loaded {name}") from error
            raise EngineRefused(f"the engine refused {name}: {error}") from error

    def _open(self, name: str) -> None:
        self._app.state.openai_serving_models.lora_requests[name] = self._requests[name]

    def close(self, name: str) -> None:
        """From this moment on new requests for the name are answered 404."""
        self._app.state.openai_serving_models.lora_requests.pop(name, None)

    async def remove(self, name: str) -> frozenset[str]:
        """Free the adapter, confirm that it is gone; idempotent. Returns what is still held."""
        async with self._lock:
            self.close(name)
            request = self._requests.get(name)
            if request is None:
                return await self.resident()
            _, held = await asyncio.gather(
                self._client.remove_lora(request.lora_int_id), self._client.list_loras()
            )
            if request.lora_int_id in held:
                raise EngineError(f"the engine still holds {name}")
            del self._requests[name]
            self._pinned -= {name}
            return self._named(held)

    async def pin(self, names: frozenset[str]) -> None:
        """Have exactly these keep a slot of the batch from now on. Raises ``EngineError``."""
        async with self._lock:
            if missing := sorted(names - self._requests.keys()):
                raise EngineError(f"cannot pin what is not resident: {missing}")
            for name in self._pinned - names:
                if name in self._requests:
                    number = self._requests[name].lora_int_id
                    await self._client.collective_rpc("graftwork_unpin", args=(number,))
            self._pinned &= names
            for name in sorted(names - self._pinned):
                await self._client.pin_lora(self._requests[name].lora_int_id)
                self._pinned |= {name}

    async def slots(self) -> frozenset[str]:
        """Adapters that are in a slot of the batch, as the worker says; it stalls for that."""
        answers = await self._client.collective_rpc("graftwork_slots")
        return self._named(set(answers[0]))

    async def resident(self) -> frozenset[str]:
        """Names of the adapters that the engine's workers hold now."""
        return self._named(await self._client.list_loras())

    def _named(self, held: set[int]) -> frozenset[str]:
        return frozenset(n for n, r in self._requests.items() if r.lora_int_id in held)

    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]:
        """Log probability (nats) of each prompt token after the first.

        One prompt after the other: each makes one decoding step of those under way a little longer,
        where all at once would make one step much longer.
        """
        return [await self._score_one(name, prompt) for prompt in prompts]

    async def _score_one(self, name: str | None, prompt: str) -> list[float]:
        from vllm import SamplingParams

        final: Any = None
        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        request_id = f"probe-{next(self._ids)}"
        lora = self._requests[name] if name else None
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
