"""Every target that an option may mean: local replicas and configured frontiers."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.aliases import Replica
from router.config.providers import Capability
from router.request import Option
from router.targets.frontier import FrontierTarget
from router.targets.http_client import HttpClient
from router.targets.local import LocalTarget
from router.wire.endpoint import Usage


class Catalog:
    """Builds the target of an option, and knows what it costs."""

    def __init__(
        self,
        client: HttpClient,
        frontiers: Mapping[str, FrontierTarget],
        *,
        default_frontier: str | None = None,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._client = client
        self._connect_timeout_s = connect_timeout_s
        self.frontiers = frontiers
        """By public name ``<provider>/<model>``."""
        self.default_frontier = default_frontier
        self.embedders = tuple(
            name
            for name, each in frontiers.items()
            if Capability.EMBEDDINGS in each.card.capabilities
        )
        """Frontier models that embed; vLLM's generating base cannot."""

    def frontier(self, option: Option) -> FrontierTarget:
        """The frontier behind a non-local option."""
        return self.frontiers[option.target.partition(":")[2]]

    def local(self, option: Option, replica: Replica) -> LocalTarget:
        """A local option on one replica."""
        return LocalTarget(
            self._client,
            replica.url,
            replica.secret,
            option.target,
            connect_timeout_s=self._connect_timeout_s,
        )

    def cost_usd(self, option: Option, usage: Usage) -> float:
        """What an answer cost; a local one at the price that the request was decided with.

        That price is in the option: what is set aside, booked and recorded is counted with one
        price, however often the measured one changes meanwhile (law 7).
        """
        if option.is_local:
            return option.price.paid(usage)
        return self.frontier(option).cost_usd(usage) or 0.0
