"""From bytes that arrived to a version in the store: preflight first, then the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from adapters.config import AdaptersConfig
from adapters.errors import AdapterError, FleetError
from adapters.format.base_model import BaseFacts
from adapters.format.files import reason
from adapters.format.manifest import Manifest, complete_manifest
from adapters.format.preflight import Report, preflight
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import State
from adapters.store.store import Store

_LOOK_FOR_BASE_S = 0.2
_log = logging.getLogger("graftwork.adapters")


class Intake:
    """Decides whether a version may be stored, away from any engine."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        base: Callable[[], BaseFacts | None],
        config: AdaptersConfig,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._base = base
        self._config = config

    async def admit(self, version: VersionRecord, directory: Path, author: str) -> VersionRecord:
        """Move a received version to stored, rejected or failed. ``directory`` must be private."""
        try:
            base = await self.served_base()
            report = await self.check(directory, version.alias, base)
            checks = [check.model_dump(mode="json") for check in report.checks]
            if not report.ok:
                return await self._reject(version, report, author, base=base.digest, checks=checks)
            version = await self._ledger.move(
                version, State.CHECKED, by=author, base=base.digest, checks=checks
            )
            manifest = await self._keep(version, directory, base, author)
            return await self._ledger.move(
                version, State.STORED, by=author, manifest=manifest.model_dump(mode="json")
            )
        except Exception as error:  # noqa: BLE001 - a bug here must not leave half an arrival
            why = reason(error)
            if not isinstance(error, AdapterError | OSError):
                why = f"internal error: {type(error).__name__}: {why}"
                _log.exception("intake_failed", extra={"version": version.name})
            return await self._ledger.move(version, State.FAILED, by=author, error=why)

    async def check(self, directory: Path, alias: str, base: BaseFacts) -> Report:
        """Run every preflight check in a thread."""
        return await asyncio.to_thread(
            preflight, directory, base, self._config.preflight, alias=alias
        )

    async def served_base(self) -> BaseFacts:
        """Facts of the served base, waiting for the engines to tell. Raises ``FleetError``."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._config.rollout.replicas_timeout_s
        while (base := self._base()) is None:
            if clock() >= deadline:
                raise FleetError("the base model is not up yet", code="base-not-ready")
            await asyncio.sleep(_LOOK_FOR_BASE_S)
        return base

    async def _keep(
        self, version: VersionRecord, directory: Path, base: BaseFacts, author: str
    ) -> Manifest:
        def work() -> Manifest:
            manifest = complete_manifest(
                directory,
                version.alias,
                base_id=base.base_id,
                base_digest=base.digest,
                author=author,
                now=datetime.now(UTC),
            )
            self._store.put(directory, version.alias, version.digest, manifest)
            return manifest

        return await asyncio.to_thread(work)

    async def _reject(
        self,
        version: VersionRecord,
        report: Report,
        author: str,
        *,
        base: str,
        checks: list[dict[str, object]],
    ) -> VersionRecord:
        failed = ", ".join(check.name for check in report.failed)
        return await self._ledger.move(
            version,
            State.REJECTED,
            by=author,
            base=base,
            checks=checks,
            error=f"refused by preflight: {failed}",
        )
