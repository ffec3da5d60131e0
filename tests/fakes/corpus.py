"""A corpus of its own, over a database in a directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges, Limits
from adapters.flywheel.database import FlywheelStore


def exchange(said: str, **fields: Any) -> Exchange:
    """One that a user asked with these words."""
    given: dict[str, Any] = {
        "id": "",
        "at": 1_700_000_000.0,
        "intent": "returns",
        "tenant": "acme",
        "target": "frontier:vendor/large",
        "messages": ({"role": "user", "content": said},),
        "response": "Within 30 days.",
    }
    return Exchange(**given | fields)


def at_once(work: Callable[[], object]) -> None:
    """As the one writer that there is."""
    work()


@contextmanager
def corpus(url: str, limits: Limits | None = None) -> Iterator[tuple[Exchanges, FlywheelStore]]:
    """Open it; ``url`` is the database's."""
    store = FlywheelStore.open(url, at_once)
    try:
        yield Exchanges(store, limits or Limits()), store
    finally:
        store.close()
