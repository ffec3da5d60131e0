"""The registry as the authority over budgets and the keeper of usage, over its internal surface."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from router.account.usage import UsageReport
from router.budgets.authority import AuthorityUnreachable, LeaseAnswer, LeaseAsk
from router.replicas.table import TableHolder
from serving.internal.client import InternalClient, Unanswered
from serving.internal.paths import LEASES, USAGE

_TIMEOUT_S = 10.0


class RegistryAccounts:
    """Asks the registry, wherever the routing table says that it is."""

    def __init__(self, holder: TableHolder) -> None:
        self._holder = holder
        self._client = InternalClient()

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
        try:
            answer = await self._client.ask(registry, "PUT", path, message, timeout_s=_TIMEOUT_S)
        except Unanswered as error:
            raise AuthorityUnreachable(f"the registry does not answer: {error}") from error
        if answer.status != 200:
            raise AuthorityUnreachable(f"the registry answered {answer.status}")
        return answer.body

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
