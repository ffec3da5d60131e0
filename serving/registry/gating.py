"""The gate as the registry's process has it."""

from __future__ import annotations

from collections.abc import Callable

from adapters.admin import gates
from adapters.corpus.exchanges import Exchanges
from adapters.dataset.datasets import Datasets
from adapters.flywheel.database import FlywheelStore
from adapters.gate.gatekeeper import Gatekeeper, GateParts
from adapters.gate.held_out import CapturedAnswers, FrozenItems
from adapters.gate.reports import Reports
from router.account.gauges import Reading
from router.wire.table import Bound, bound
from serving.config.settings import Settings
from serving.registry.adapters import Adapters
from serving.registry.asking import Eyes, HttpAsking
from serving.registry.membership import Membership
from serving.registry.redacting import Redaction


class Gating:
    """The gatekeeper, put before everything that publishes, and its resource.

    Attributes:
        gatekeeper: says which versions may serve.
        reports: what gates found.
    """

    def __init__(
        self,
        settings: Settings,
        store: FlywheelStore,
        adapters: Adapters,
        datasets: Datasets,
        exchanges: Exchanges,
        membership: Membership,
        redaction: Redaction,
        consents: Callable[[str], bool],
    ) -> None:
        self._adapters = adapters
        self.reports = Reports(store)
        self._asking = HttpAsking(membership)
        self.gatekeeper = Gatekeeper(
            GateParts(
                self.reports,
                FrozenItems(store, datasets),
                CapturedAnswers(exchanges),
                self._asking,
                Eyes(redaction, self._asking),
                adapters.registry,
                settings.flywheel,
                adapters.config.ladder,
                lambda alias, digest, verdict: adapters.events.emit(
                    "gate-judged", alias, digest, verdict=verdict
                ),
                consents,
            )
        )
        adapters.rollout.gate = self.gatekeeper

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        return bound(gates.RESOURCES, gates.Gates(self.reports, self._adapters.registry))

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {"graftwork_gate_reports": ("Reports of gates that are kept.", self.reports.count)}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._asking.aclose()
