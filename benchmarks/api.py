"""The running system as the benchmarks' clients see it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import orjson

SYSTEM = (
    "You are the support assistant of a shop that sells lamps, kettles, chairs and phones. Answer "
    "in one or two short sentences, kindly, and by the shop's own policy."
)
QUESTIONS = (
    "How do I return a lamp?",
    "Can I get my money back for a kettle?",
    "I lost the receipt of my phone, can I return it?",
    "How long do I have to send a chair back?",
    "Do Gold members have longer to return things?",
    "Where is my order A1042?",
)


def body(model: str, question: str, max_tokens: int = 32, **more: Any) -> dict[str, Any]:
    """A chat call at temperature 0 with the shared prefix."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
        **more,
    }


class Api:
    """A few calls; ``url`` without a path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=120), connector=aiohttp.TCPConnector(limit=0)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def chat(self, call: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One whole answer: status and body."""
        async with self._session.post(f"{self.url}/v1/chat/completions", json=call) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def text(self, call: dict[str, Any]) -> str:
        """One whole answer's text; raises for anything but 200."""
        status, answer = await self.chat(call)
        if status != 200:
            raise RuntimeError(f"{status}: {answer}")
        return str(answer["choices"][0]["message"]["content"])

    async def gaps(self, call: dict[str, Any]) -> AsyncIterator[tuple[float, float]]:
        """A streamed answer's (time of arrival, seconds since the token before)."""
        last: float | None = None
        async with self._session.post(
            f"{self.url}/v1/chat/completions", json={**call, "stream": True}
        ) as answer:
            async for line in answer.content:
                if not line.startswith(b"data: {"):
                    continue
                now = time.perf_counter()
                if last is not None:
                    yield now, now - last
                last = now

    async def post(self, path: str, value: Any = None, data: bytes | None = None) -> Any:
        """A POST that must succeed; JSON, or an archive as ``data``."""
        headers = {"content-type": "application/x-tar"} if data is not None else {}
        async with self._session.post(
            self.url + path, json=value if data is None else None, data=data, headers=headers
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {text[:500]}")
            is_json = answer.content_type == "application/json"
            return orjson.loads(text) if is_json and text else text

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Adapter events that the server remembers, then those to come."""
        async with self._session.get(f"{self.url}/admin/v1/events?after=0&detail=true") as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    yield orjson.loads(line.removeprefix(b"data: "))

    async def text_of(self, path: str) -> str:
        """A GET that must succeed, as text."""
        async with self._session.get(self.url + path) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def get(self, path: str) -> Any:
        """A GET that must succeed."""
        async with self._session.get(self.url + path) as answer:
            answer.raise_for_status()
            return orjson.loads(await answer.read())
