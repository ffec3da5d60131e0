"""What a virtual model's name stands for, and in which order its targets are asked."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence

from adapters.aliases import RoutingTable
from router.choose.ranking import Candidate
from router.config.virtual import Strategy, VirtualModel, is_glob
from router.replicas.rendezvous import share
from router.request import AUTO, BASE

_PIN = "@"
Latency = Callable[[str], float | None]
"""Of a target's answers lately, seconds; None: too few."""


class Virtuals:
    """The configured ones. ``known``: models of providers, by public name."""

    def __init__(self, models: Mapping[str, VirtualModel], known: frozenset[str]) -> None:
        self._exact = {name: each for name, each in models.items() if not is_glob(name)}
        self._globs = {name: each for name, each in models.items() if is_glob(name)}
        self._known = known

    @property
    def names(self) -> list[str]:
        """Those that are no globs."""
        return list(self._exact)

    def of(self, model: str, table: RoutingTable) -> tuple[str, VirtualModel] | None:
        """What a request's model means, with the name that it is configured under.

        A glob stands back behind everything that really has the name; of several the first.
        """
        if not self._exact and not self._globs:
            return None
        found = self._exact.get(model)
        if found is not None:
            return model, found
        is_real = model in (AUTO, BASE, table.base_id) or model in self._known
        if is_real or model.partition(_PIN)[0] in table.aliases:
            return None
        globs = (each for each in self._globs.items() if fnmatch.fnmatchcase(model, each[0]))
        return next(globs, None)

    def chooses(self, model: str, table: RoutingTable) -> bool:
        """Whether `auto` decides who answers: it is what is asked for, or in the list of it."""
        found = self.of(model, table)
        return model == AUTO if found is None else AUTO in found[1].targets


def ordered(
    candidates: Sequence[Candidate], virtual: VirtualModel, name: str, key: str, latency: Latency
) -> list[Candidate]:
    """A virtual model's candidates in the order in which they are asked, each target once.

    Args:
        candidates: each with the place in ``virtual.targets`` of what it stands for; those of one
            place, as an alias's two versions, stay together and in their order.
        virtual: how they are ordered.
        name: of the virtual model.
        key: of whoever should meet the same target again: the session, else the request.
        latency: of targets.
    """
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.place, []).append(candidate)
    places = sorted(groups)
    match virtual.strategy:
        case Strategy.CHEAPEST:
            places.sort(key=lambda place: groups[place][0].cost_usd)
        case Strategy.FASTEST:
            places.sort(key=lambda place: latency(groups[place][0].card.target) or 0.0)
        case Strategy.WEIGHTED:
            shares, targets = virtual.shares(), virtual.targets
            places.sort(key=lambda p: _drawn(f"{name}/{targets[p]}", key, shares[p]))
        case Strategy.ORDERED:
            pass
    asked = [candidate for place in places for candidate in groups[place]]
    return list({each.card.target: each for each in reversed(asked)}.values())[::-1]


def _drawn(target: str, key: str, weight: float) -> float:
    """The smallest is asked first: each target with its share of keys.

    Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): -ln(u) / w is exponentially
    distributed with rate w, so the chance to be the smallest is w over the sum. When weights change
    only those keys move that have to.
    """
    if weight <= 0:
        return math.inf
    return -math.log(max(share(key, target), 1e-18)) / weight
