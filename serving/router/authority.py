"""The registry as the authority over budgets and the keeper of usage, over its internal surface."""

from __future__ import annotations

import aiohttp
from pydantic import BaseModel, ValidationError

from router.account.usage import UsageReport
from router.budgets.authority import AuthorityUnreachable, LeaseAnswer, LeaseAsk
from router.replicas.table import TableHolder
from serving.internal.paths import LEASES, USAGE

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=2.0)


class RegistryAccounts:
    """Asks the registry, wherever the routing table says that it is."""

    def __init__(self, holder: TableHolder) -> None:
        self._holder = holder
        self._session: aiohttp.ClientSession | None = None

    async def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """Grant and take back. Raises ``AuthorityUnreachable``."""
        raw = await self._put(LEASES, ask)
        try:
            return LeaseAnswer.model_validate_json(raw)
        except ValidationError as error:
            raise AuthorityUnreachable("the registry's answer makes no sense") from error

    async def report(self, report: UsageReport) -> None:
        """Hand over counts. Raises ``AuthorityUnreachable``."""
        await self._put(USAGE, report)

    async def _put(self, path: str, message: BaseModel) -> bytes:
        registry = self._holder.current.registry
        if registry is None:
            raise AuthorityUnreachable("no registry is known yet")
        headers = {
            "authorization": f"Bearer {registry.secret}",
            "content-type": "application/json",
        }
        try:
            async with self._client().put(
                registry.url + path, data=message.model_dump_json().encode(), headers=headers
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise AuthorityUnreachable(f"the registry does not answer: {error}") from error
        if response.status != 200:
            raise AuthorityUnreachable(f"the registry answered {response.status}")
        return body

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
