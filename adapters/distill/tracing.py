"""What became of a request: its exchange, its review, the datasets and versions that it is in."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from adapters.aliases import engine_name
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.dataset.datasets import Datasets
from adapters.dataset.errors import DamagedDataset
from adapters.dataset.frozen import Dataset
from adapters.distill.lineage import Lineage
from adapters.records.line import iso
from adapters.registry import Registry
from adapters.review.reviews import Reviews

_DATASETS: Final = 50
"""The newest of the exchange's intent that are looked through."""


@dataclass(frozen=True, slots=True)
class Place:
    """One row of a dataset that an exchange became."""

    dataset: Dataset
    row: str
    split: str


class Tracer:
    """Follows requests. Methods block."""

    def __init__(
        self,
        exchanges: Exchanges,
        reviews: Reviews,
        datasets: Datasets,
        lineage: Lineage,
        registry: Registry,
    ) -> None:
        self._exchanges = exchanges
        self._reviews = reviews
        self._datasets = datasets
        self._lineage = lineage
        self._registry = registry

    def of(self, identity: str) -> dict[str, Any]:
        """Of a decision or an exchange, by its id. What there is nothing of is None or empty."""
        exchange = self._exchanges.of_decision(identity) or self._exchanges.find(identity)
        if exchange is None:
            return {"exchange": None, "review": None, "datasets": [], "adapters": []}
        places = list(self._places(exchange))
        return {
            "exchange": _exchange(exchange),
            "review": self._review(exchange),
            "datasets": [
                {
                    "digest": place.dataset.digest,
                    "name": place.dataset.name,
                    "row": place.row,
                    "split": place.split,
                }
                for place in places
            ],
            "adapters": self._adapters(places),
        }

    def _review(self, exchange: Exchange) -> dict[str, Any] | None:
        found = self._reviews.of_exchange(exchange.id)
        return None if found is None else {"id": found.id, "state": found.state.value}

    def _places(self, exchange: Exchange) -> Iterable[Place]:
        of_intent = [each for each in self._datasets.listed() if exchange.intent in each.counts]
        for dataset in of_intent[:_DATASETS]:
            if dataset.erased:
                continue
            with suppress(DamagedDataset):  # It tells nothing.
                for row in self._datasets.of_exchange(dataset.digest, exchange.id):
                    yield Place(dataset, row.digest, row.split)

    def _adapters(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        splits = {place.dataset.digest: place.split for place in places}
        found = []
        for origin in self._lineage.trained_on(splits):
            version = self._registry.version(origin.alias, origin.digest)
            found.append(
                {
                    "version": engine_name(origin.alias, origin.digest),
                    "state": version.state.value,
                    "dataset": origin.dataset,
                    # What is held out is what it was tested on.
                    "how": "trained" if splits[origin.dataset] == "train" else "tested",
                }
            )
        return found


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.id,
        "time": iso(exchange.at),
        "state": exchange.state.value,
        "intent": exchange.intent,
        "tenant": exchange.tenant,
        "target": exchange.target,
        "count": exchange.count,
        "signals": list(exchange.signals),
    }
