"""Held-out rows and captured answers, out of the rooms that keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from adapters.corpus import tools
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.dataset.datasets import Datasets
from adapters.dataset.errors import ErasedDataset, UnknownDataset
from adapters.dataset.frozen import Row
from adapters.dataset.models import HeldOutRow
from adapters.flywheel.database import FlywheelStore
from adapters.gate.asking import Answer


class FrozenItems:
    """Implements ``adapters.gate.asking.HeldOut``."""

    def __init__(self, store: FlywheelStore, datasets: Datasets) -> None:
        self._store = store
        self._datasets = datasets

    def holdout(self, intent: str) -> Sequence[Row]:
        """Everything that was ever held out for the intent."""
        return self._datasets.holdout(intent)

    def held_before(self, intents: Sequence[str], digest: str | None) -> frozenset[str]:
        """Exchanges that were held out before this dataset was frozen; without one, all."""
        dataset = self._datasets.find(digest) if digest else None
        query = select(HeldOutRow.exchange_id).where(HeldOutRow.intent.in_(list(intents)))
        if dataset is not None:
            query = query.where(HeldOutRow.since < dataset.created_at)
        with self._store.read() as session:
            return frozenset(session.scalars(query))

    def rows_of(self, digest: str) -> Sequence[Row]:
        """Both splits of a dataset; nothing of one that is unknown or was erased."""
        try:
            return self._datasets.rows(digest)
        except (ErasedDataset, UnknownDataset):
            return ()


class CapturedAnswers:
    """Implements ``adapters.gate.asking.Captured``."""

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges

    def answers(self, exchange_ids: Sequence[str], target: str) -> Mapping[str, Answer]:
        """By exchange, what this target answered to it, where it did."""
        found = self._exchanges.found(exchange_ids)
        return {name: _answer(each) for name, each in found.items() if each.target == target}


def _answer(exchange: Exchange) -> Answer:
    calls = tools.calls_of(exchange.details.get(tools.CALLS), tools.offered(exchange.details).names)
    return Answer(exchange.response, calls=tools.written(calls) if calls else "")
