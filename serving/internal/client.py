"""The one client of internal surfaces: each call goes to one process, with its own secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from pydantic import BaseModel

from adapters.aliases import Peer

_CONNECT_S = 2.0
_JSON = "application/json"


class Silence(StrEnum):
    """Why a call got no answer."""

    UNREACHABLE = "unreachable"
    """No connection, or no answer in time."""
    BROKE = "broke"
    """The connection ended in the middle."""
    SENSELESS = "senseless"
    """What came is not HTTP."""


class Unanswered(Exception):
    """A process did not answer a call; ``silence`` says how."""

    def __init__(self, message: str, silence: Silence) -> None:
        super().__init__(message)
        self.silence = silence


@dataclass(frozen=True)
class Answer:
    """What a process answered, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body, decoded; None when it is no JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None


class InternalClient:
    """Keeps its connections. Belongs to one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        peer: Peer,
        method: str,
        path: str,
        body: bytes | BaseModel | dict[str, Any] | None = None,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call; ``headers`` go beside our own.

        Raises ``Unanswered``; an error that was answered is an answer.
        """
        try:
            async with self._connected().request(
                method,
                peer.url + path,
                data=_encoded(body),
                headers={
                    **(headers or {}),
                    "authorization": f"Bearer {peer.secret}",
                    "content-type": _JSON,
                },
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=_CONNECT_S),
                allow_redirects=False,
            ) as response:
                return Answer(response.status, await response.read(), response.headers)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise Unanswered(f"{peer.id}: {method} {path}: {why}", _silence(error)) from error

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def _encoded(body: bytes | BaseModel | dict[str, Any] | None) -> bytes | None:
    if isinstance(body, BaseModel):
        return body.model_dump_json().encode()
    return orjson.dumps(body) if isinstance(body, dict) else body


def _silence(error: Exception) -> Silence:
    if isinstance(error, (aiohttp.ClientConnectorError, TimeoutError)):
        return Silence.UNREACHABLE
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        return Silence.BROKE
    return Silence.SENSELESS
