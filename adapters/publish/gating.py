"""GATE: what a proven version has to pass before its first request, where a route demands it.

The gate itself is ``adapters.gate``, above this room: here is what the publish asks of it. Whatever
way leads a version to a request, ``Rollout`` asks ``cleared`` on it (law 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from adapters.errors import CheckResult
from adapters.registry import Plan, VersionRecord

GATE = "gate"
"""Name of the check."""


@dataclass(frozen=True)
class Finding:
    """What the gate says of one version."""

    passed: bool
    reason: str
    result: dict[str, Any]
    """For the manifest's ``evaluation`` (``adapters.evaluation``)."""

    @property
    def check(self) -> CheckResult:
        """The same beside the other checks of the version."""
        return CheckResult(
            name=GATE,
            ok=self.passed,
            found=self.reason,
            expected="as good as what answers now, beyond doubt",
            message="" if self.passed else "the version did not pass its route's gate",
        )


def unfinished(reason: str) -> CheckResult:
    """What stands beside the other checks of a version whose test came to no end."""
    return CheckResult(
        name=GATE,
        ok=False,
        found=reason,
        expected="a test that comes to its end",
        message="the version is not tested yet; the test is made again",
    )


class Gate(Protocol):
    """Says which versions may serve."""

    def demands(self, alias: str) -> bool:
        """Whether a route of the alias demands a passed gate."""
        ...

    async def has_passed(self, alias: str, digest: str) -> bool:
        """Whether the version did; by the gate's own record, not by what a pusher says."""
        ...

    def first(self, alias: str, wish: Plan) -> Plan:
        """Where a version goes that has just passed."""
        ...

    async def judge(self, version: VersionRecord, replica: str) -> Finding:
        """Test a version that a replica holds; on record before it returns.

        Raises ``FleetError`` when the replica failed, ``NotAsked`` when the current target did, or
        when it was stopped, ``GateOverdue`` when it took too long.
        """
        ...

    def stop(self, alias: str, digest: str) -> None:
        """End the test of a version that nobody may have any more, if it is made now."""
        ...


class NoGate:
    """Nothing is demanded of anybody."""

    def demands(self, alias: str) -> bool:  # noqa: ARG002 - of nobody
        return False

    async def has_passed(self, alias: str, digest: str) -> bool:  # noqa: ARG002 - nobody has
        return False

    def first(self, alias: str, wish: Plan) -> Plan:  # noqa: ARG002 - as it is wished
        return wish

    async def judge(self, version: VersionRecord, replica: str) -> Finding:
        raise ValueError(f"no gate is demanded of {version.name} on {replica}")

    def stop(self, alias: str, digest: str) -> None:
        """Nothing is tested."""


async def cleared(gate: Gate, alias: str, digest: str) -> bool:
    """Whether a version may meet a request, as far as gates go."""
    return not gate.demands(alias) or await gate.has_passed(alias, digest)
