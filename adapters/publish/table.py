"""From what the registry holds and the fleet reports to the table that routers use. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from adapters.aliases import Alias, CandidateVersion, Peer, PolicyVersions, Replica, RoutingTable
from adapters.publish.placement import place
from adapters.registry.lifecycle import ARRIVING, CALLABLE, State
from adapters.registry.records import AliasRecord, CandidateRecord, Snapshot, VersionBrief


def build_table(
    snapshot: Snapshot,
    *,
    revision: int,
    base_id: str,
    base_digest: str | None = None,
    max_model_len: int | None = None,
    replicas: Iterable[Replica] = (),
    registry: Peer | None = None,
    routers: Iterable[Peer] = (),
) -> RoutingTable:
    """One immutable table. With ``base_digest``, versions made for another base are left out."""
    versions = _by_alias(snapshot.versions, base_digest)
    candidates: dict[str, list[CandidateRecord]] = defaultdict(list)
    for candidate in snapshot.candidates:
        candidates[candidate.alias].append(candidate)
    return RoutingTable(
        revision=revision,
        epoch=snapshot.epoch,
        base_id=base_id,
        max_model_len=max_model_len,
        # An alias that never had anything to call is not a name; a retired one still is (law 3).
        aliases={
            alias.name: _alias(
                alias,
                versions[alias.name],
                candidates[alias.name],
                snapshot.retired.get(alias.name, ()),
            )
            for alias in snapshot.aliases
            if alias.epoch > 0
        },
        replicas=tuple(replicas),
        loading=tuple(f"{v.alias}@{v.digest}" for v in snapshot.versions if v.state in ARRIVING),
        registry=registry,
        routers=tuple(routers),
        policy=PolicyVersions(active=snapshot.policy, shadow=snapshot.shadow_policy),
    )


def with_routes(snapshot: Snapshot, learns: Mapping[str, Iterable[str]]) -> Snapshot:
    """The same, where an alias answers the intents that it ``learns``, beside those it declares."""
    return replace(
        snapshot,
        aliases=tuple(
            replace(each, intents=tuple(dict.fromkeys((*each.intents, *learns[each.name]))))
            if each.name in learns
            else each
            for each in snapshot.aliases
        ),
    )


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many versions one replica may hold, and how many replicas hold each alias."""

    capacity: int
    copies: int | None = None


def with_cold(table: RoutingTable, snapshot: Snapshot, room: Capacity) -> RoutingTable:
    """The table, telling which live versions no replica holds because all are wanted too much.

    That is where more versions than it has room for are wanted on each replica that would hold it.
    """
    ready = {replica.id: replica.resident for replica in table.replicas if replica.ready}
    # Who was superseded makes room for others.
    wanted = [
        version
        for version in snapshot.versions
        if version.state in CALLABLE - {State.SUPERSEDED}
        and version.digest in table.aliases[version.alias].versions
    ]
    homes = {version.alias: place(version.alias, ready, room.copies) for version in wanted}
    claims = Counter(home for version in wanted for home in homes[version.alias])
    held = frozenset[str]().union(*ready.values())
    cold = tuple(
        version.name
        for version in wanted
        if version.state is State.LIVE
        and version.name not in held
        and all(claims[home] > room.capacity for home in homes[version.alias])
    )
    return table.model_copy(update={"cold": cold})


def _by_alias(
    versions: Iterable[VersionBrief], base_digest: str | None
) -> dict[str, dict[str, VersionBrief]]:
    callable_ones: dict[str, dict[str, VersionBrief]] = defaultdict(dict)
    for version in versions:
        if version.state in CALLABLE and base_digest in {None, version.base}:
            callable_ones[version.alias][version.digest] = version
    return callable_ones


def _alias(
    alias: AliasRecord,
    versions: dict[str, VersionBrief],
    candidates: Iterable[CandidateRecord],
    retired: tuple[str, ...],
) -> Alias:
    live = alias.live if alias.live in versions else None
    # Routers answer with it when the live one cannot: not with what somebody just took back.
    falls_back = alias.previous in versions and not alias.rolled_back
    tried = tuple(
        CandidateVersion(digest=each.digest, stage=each.stage, percent=each.percent)
        for each in candidates
        if each.digest in versions
    )
    return Alias(
        name=alias.name,
        live=live,
        previous=alias.previous if falls_back else None,
        candidates=tried,
        versions=tuple(versions),
        retired=retired,
        intents=alias.intents if live is not None or tried else (),
        gates={d: each.gate for d, each in versions.items() if each.gate is not None},
    )
