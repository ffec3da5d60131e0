"""The adapters in vLLM's engine, under their content-addressed names.

vLLM keeps two lists that know nothing of each other: its workers hold adapters by number, its front
end serves names. This keeps the second true to the first by one rule: whatever fails, the engine is
asked again, and its word decides. What it holds is served, what it does not hold is not; a name
that a failed call touched is not served until the engine has given its word.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Protocol

from adapters.format.files import reason

# How far a load beside the engine's steps is, as its workers say (``serving.engine.beside``).
READING: Final = "reading"
COPYING: Final = "copying"
IN_SLOT: Final = "in a slot"
HELD: Final = "held"
"""Held, and in no slot: the first request that uses it puts it into one."""
NOT_HERE: Final = "not here"
"""Only vLLM's own call loads adapters of this kind of model."""
_ENDS: Final = frozenset({IN_SLOT, HELD, NOT_HERE})
_LOOK_EVERY_S: Final = 0.01
MakeRequest = Callable[[str, int, str], Any]
"""Makes vLLM's ``LoRARequest`` of a name, a number and a directory."""


class EngineError(Exception):
    """The engine did not do it; it may the next time, or it is dead."""


class EngineRefused(EngineError):
    """The engine is well and does not take these files; it never will."""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that the engine holds now."""

    seconds: float
    """What the load took; 0 when it was there already."""
    served: frozenset[str]
    """Every name that requests may use now."""
    in_slot: bool = True
    """Whether it is in a slot of the batch; else the first request puts it there."""


class LoraClient(Protocol):
    """Those calls of vLLM's engine client that concern adapters; each may raise anything."""

    @property
    def errored(self) -> bool:
        """Whether the engine is dead."""
        ...

    async def add_lora(self, lora_request: Any) -> bool: ...
    async def remove_lora(self, lora_id: int) -> bool: ...
    async def list_loras(self) -> set[int]: ...
    async def pin_lora(self, lora_id: int) -> bool: ...
    async def collective_rpc(self, method: str, *, args: tuple[Any, ...] = ()) -> list[Any]: ...


class LoadedAdapters:
    """Loads, removes and pins.

    Args:
        client: vLLM's engine client.
        front: the table of names that vLLM's front end serves.
        request: makes vLLM's own request of an adapter.
        beside: read and copy beside the engine's steps (``serving.engine.beside``), not in one.
    """

    def __init__(
        self,
        client: LoraClient,
        front: MutableMapping[str, Any],
        request: MakeRequest,
        *,
        beside: bool = False,
    ) -> None:
        self._client = client
        self._beside = beside
        self._front = front
        self._make_request = request
        self._numbers = itertools.count(1)
        # Everything that may be in the engine, what a failed call left there included.
        self._requests: dict[str, Any] = {}
        # Of those, what the engine did not take whole: it must leave, and nobody may use it.
        self._unfit: set[str] = set()
        self._leaving: Counter[str] = Counter()
        self._served: frozenset[str] = frozenset()
        self._pinned: frozenset[str] = frozenset()
        self._perhaps_pinned: frozenset[str] = frozenset()
        self._in_doubt = False
        # One call at a time: an add blocks the engine's step loop for read, parse and copy.
        self._lock = asyncio.Lock()

    @property
    def served(self) -> frozenset[str]:
        """Names that requests may use: what the engine holds by its last word, minus all doubt."""
        return self._served

    @property
    def held(self) -> frozenset[str]:
        """Names that may be in the engine, all doubt included: their files must stay."""
        return frozenset(self._requests)

    @property
    def pinned(self) -> frozenset[str]:
        """Names that certainly keep a slot of the batch."""
        return self._pinned

    @property
    def busy(self) -> bool:
        """Whether a call is under way, after which the engine's word is known anyhow."""
        return self._lock.locked()

    def request(self, name: str) -> Any:
        """vLLM's ``LoRARequest`` of a served name. Raises ``EngineError`` for any other."""
        if name not in self._served:
            raise EngineError(f"{name} is not resident")
        return self._requests[name]

    async def ask(self) -> frozenset[str]:
        """Have the engine say what it holds; returns what is served now. Raises ``EngineError``."""
        async with self._lock:
            return await self._settle()

    async def add(self, name: str, path: str) -> LoadedAdapter:
        """Load the adapter directory ``path`` under ``name``; idempotent.

        Raises ``EngineRefused`` when the engine will never take it, ``EngineError`` for anything
        else.
        """
        async with self._lock:
            if (self._in_doubt or name in self._requests) and name in await self._settle():
                return LoadedAdapter(0.0, self._served)
            return await self._load(name, path)

    async def remove(self, name: str) -> frozenset[str]:
        """Free the adapter and confirm that it is gone; idempotent. Returns what is served still.

        New requests for the name are answered 404 from the moment of the call. When the engine
        still holds it the name is served again, and ``EngineError`` raised.
        """
        with self._closed(name):
            async with self._lock:
                failure, held = await self._free(name)
        # Nothing comes between the engine's word and this.
        if name in self._take(held):
            raise EngineError(f"the engine still holds {name}") from failure
        return self._served

    async def pin(self, names: frozenset[str]) -> None:
        """Have exactly these keep a slot of the batch from now on. Raises ``EngineError``."""
        async with self._lock:
            if missing := sorted(names - self._served):
                raise EngineError(f"cannot pin what is not resident: {missing}")
            for name in sorted(self._perhaps_pinned - names):
                self._pinned -= {name}
                number = self._requests[name].lora_int_id
                await _said(self._client.collective_rpc("graftwork_unpin", args=(number,)))
                self._perhaps_pinned -= {name}
            for name in sorted(names - self._pinned):
                self._perhaps_pinned |= {name}
                await _said(self._client.pin_lora(self._requests[name].lora_int_id))
                self._pinned |= {name}

    async def slots(self) -> frozenset[str]:
        """Adapters that are in a slot of the batch, as the worker says; it stalls for that."""
        answers = await _said(self._client.collective_rpc("graftwork_slots"))
        return frozenset(n for n, r in self._requests.items() if r.lora_int_id in answers[0])

    async def _load(self, name: str, path: str) -> LoadedAdapter:
        request = self._make_request(name, next(self._numbers), path)
        # Before the call: whatever becomes of it, the engine's word finds a name for the number.
        self._requests[name] = request
        self._unfit.add(name)
        self._in_doubt = True
        started = time.perf_counter()
        failure, held, in_slot = await self._add(request)
        if failure is not None:
            with suppress(EngineError):
                await self._settle()
            raise self._not_loaded(name, path, failure)
        self._unfit.discard(name)
        if name not in self._take(await self._word() if held is None else held):
            raise EngineError(f"the engine did not take {name}")
        return LoadedAdapter(time.perf_counter() - started, self._served, in_slot)

    async def _add(self, request: Any) -> tuple[BaseException | None, set[int] | None, bool]:
        """Why it failed, if it did, what the engine holds then, and whether it is in a slot."""
        if self._beside:
            try:
                where = await self._loaded_beside(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is why
                return error, None, False
            if NOT_HERE not in where:
                return None, None, where == {IN_SLOT}
        failure, held = await self._do(self._client.add_lora(request))
        return failure, held, True

    async def _loaded_beside(self, request: Any) -> set[str]:
        """Have the workers load it beside their steps; where it is then. Raises what they do."""
        number = request.lora_int_id
        one = (request.lora_name, number, request.lora_path)
        try:
            states = set(await self._client.collective_rpc("graftwork_begin", args=one))
            while states - _ENDS:
                await asyncio.sleep(_LOOK_EVERY_S)
                said = await self._client.collective_rpc("graftwork_advance", args=(number,))
                states = set(said)
        except BaseException:
            with suppress(EngineError):
                await self._abandon(number)
            raise
        return states

    async def _abandon(self, number: int) -> None:
        """Whoever still copies into its slot must be done before it is another's."""
        if self._beside:
            await _said(self._client.collective_rpc("graftwork_abandon", args=(number,)))

    def _not_loaded(self, name: str, path: str, failure: BaseException) -> EngineError:
        if self._client.errored:
            error = EngineError(f"the engine died while it loaded {name}")
        else:
            # vLLM names the directory, which is nobody's business outside this node.
            said = reason(failure).replace(PurePath(path).name, name)
            error = EngineRefused(f"the engine refused {name}: {said}")
        error.__cause__ = failure
        return error

    async def _free(self, name: str) -> tuple[BaseException | None, set[int]]:
        request = self._requests.get(name)
        if request is None:
            return None, await self._word()
        self._in_doubt = True
        if name in self._unfit:
            try:
                await self._abandon(request.lora_int_id)
            except EngineError as error:
                return error, await self._word()
        failure, held = await self._do(self._client.remove_lora(request.lora_int_id))
        return failure, await self._word() if held is None else held

    async def _do(self, call: Awaitable[bool]) -> tuple[BaseException | None, set[int] | None]:
        """Make one change; returns why it failed, if it did, and what the engine holds then.

        None instead of what it holds: something failed, so it has to be asked again.
        """
        # Asked in one breath: each call on its own waits for the end of a decoding step.
        calls: list[Awaitable[Any]] = [call, self._client.list_loras()]
        done, held = await asyncio.gather(*calls, return_exceptions=True)
        failure = done if isinstance(done, BaseException) else None
        if failure is not None or isinstance(held, BaseException):
            return failure, None
        return None, set(held)

    async def _word(self) -> set[int]:
        return set(await _said(self._client.list_loras()))

    async def _settle(self) -> frozenset[str]:
        """Ask, have what is unfit leave, and serve the rest. Raises ``EngineError``."""
        held = await self._word()
        unfit = [r for n, r in self._requests.items() if n in self._unfit and r.lora_int_id in held]
        for request in unfit:
            with suppress(EngineError):
                await self._abandon(request.lora_int_id)
                await _said(self._client.remove_lora(request.lora_int_id))
        served = self._take(await self._word() if unfit else held)
        if self._unfit:
            raise EngineError(f"the engine does not let go of {', '.join(sorted(self._unfit))}")
        return served

    def _take(self, held: set[int]) -> frozenset[str]:
        """Make the engine's word true for requests; returns what they may use."""
        self._requests = {n: r for n, r in self._requests.items() if r.lora_int_id in held}
        self._unfit &= self._requests.keys()
        served = self._requests.keys() - self._unfit - self._leaving.keys()
        for name in self._served - served:
            self._front.pop(name, None)
        self._front.update({name: self._requests[name] for name in served})
        self._served = frozenset(served)
        self._pinned &= self._requests.keys()
        self._perhaps_pinned &= self._requests.keys()
        self._in_doubt = bool(self._unfit or self._leaving)
        return self._served

    @contextmanager
    def _closed(self, name: str) -> Iterator[None]:
        """Nobody gets the name until the block has ended and the engine was heard again."""
        self._leaving[name] += 1
        self._served -= {name}
        self._in_doubt = True
        self._front.pop(name, None)
        try:
            yield
        finally:
            self._leaving[name] -= 1
            self._leaving += Counter()
            self._in_doubt = True


async def _said(call: Awaitable[Any]) -> Any:
    """The engine's answer; whatever it raises as an ``EngineError``."""
    try:
        return await call
    except Exception as error:
        raise EngineError(f"the engine failed: {reason(error)}") from error
