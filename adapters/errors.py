"""Everything that can go wrong with an adapter, sorted by what the caller can do.

::

    AdapterError                 code, remedy
    ├── ArchiveError             the pushed archive is unsafe or broken: fix the archive
    ├── HeaderError              a safetensors file is malformed: write it again
    ├── ManifestError            graftwork.json is malformed or does not match: fix the manifest
    │   └── SignatureError       missing, unknown or wrong signature: sign it again
    ├── BaseModelError           the base model's own files cannot be read: fix the server's model
    ├── BadName                  an alias, digest or pinned name breaks the grammar: fix the name
    ├── RejectedError            preflight refused the version; carries every check
    ├── StoreError               the store could not read or write
    │   ├── StoreFull            no space left: free some and push again
    │   ├── DigestMismatch       the bytes that arrived are not the bytes that were named
    │   └── NotInStore           the version's files are not there
    ├── RegistryError            the durable record refused or is out of reach
    │   ├── UnknownAlias         no such alias
    │   ├── UnknownVersion       no such version of the alias
    │   ├── IllegalMove          the lifecycle does not allow this step from this state
    │   ├── Conflict             another publish of the same alias is under way: try again
    │   ├── NothingToRollBack    the alias has no previous version
    │   └── Superseded           another process claimed the registry: ask that one
    ├── FleetError               an engine or a router did not obey: reconcile tries again
    │   ├── ReplicaGone          the replica died or left: others serve
    │   ├── Unreachable          it does not answer: dead and not yet known to be, or cut off
    │   │   └── ConnectionBroke  ... since it began to work on this call
    │   ├── InUse                a request still runs on what should leave: later
    │   ├── LoadFailed           the engine refused the version
    │   └── QuorumNotReached     too few replicas or routers acknowledged in time
    ├── ProbeFailed              the loaded version shows no effect or misses its golden logprobs
    ├── GateRefused              the loaded version did not pass the gate that its route demands
    └── NotAsked                 a target that the gate has to compare with did not answer
        └── GateOverdue          the gate's test stood still, or took longer than it may

``code`` is stable, kebab-case and meant for machines; ``remedy`` is one sentence for a person,
empty when there is nothing to do. Nothing here knows HTTP: one table at the door turns types into
answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class CheckResult(BaseModel):
    """One named check of a pushed version: what was found against what was expected."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Stable and kebab-case, for example ``tensor-shapes``."""
    ok: bool
    found: str = ""
    expected: str = ""
    items: tuple[str, ...] = ()
    """Everything that ``found`` sums up, one by one, files and tensors by their names."""
    message: str = ""
    """A sentence for the person who pushed; empty when the check passed."""
    skipped: bool = False
    """True with ``ok`` when the check could not run: no base was given, or an earlier check names
    the cause."""


class AdapterError(Exception):
    """Root of the tree. ``code`` and ``remedy`` default to the class's own."""

    code: str = "adapter-error"
    remedy: str = ""

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy

    @property
    def advice(self) -> str:
        """What went wrong and what to do about it, as sentences."""
        said = str(self)
        if not self.remedy:
            return said
        return f"{said}{'' if said.endswith(('.', '!', '?')) else '.'} {self.remedy}"


class ArchiveError(AdapterError):
    """The archive is unsafe, broken or too large; ``code`` names the kind."""

    code = "archive-unreadable"
    remedy = "Pack the PEFT directory again as a plain .tar, .tar.gz or .zip of regular files."


class HeaderError(AdapterError):
    """A safetensors file is malformed; ``code`` names the kind."""

    code = "header-malformed"
    remedy = "Save the adapter again with safetensors."


class ManifestError(AdapterError):
    """``graftwork.json`` or the directory it describes is not what it should be."""

    code = "manifest-malformed"
    remedy = "Correct graftwork.json, or leave it out."


class SignatureError(ManifestError):
    """The manifest's signature is missing, of an unknown kind, or does not verify."""

    code = "signature-invalid"
    remedy = "Sign the manifest with the private key that belongs to the configured public key."


class BaseModelError(AdapterError):
    """The base model's own files cannot be read."""

    code = "base-unreadable"
    remedy = "Point the server at a complete model directory with config.json and safetensors."


class BadName(AdapterError):
    """An alias, a digest or a pinned name breaks its grammar."""

    code = "bad-name"
    remedy = "Use lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit."


class RejectedError(AdapterError):
    """Preflight refused a version. ``checks`` holds all results, passed ones included."""

    code = "adapter-rejected"
    remedy = "Correct every failed check and push again."

    def __init__(self, checks: Iterable[CheckResult], message: str | None = None) -> None:
        self.checks: list[CheckResult] = list(checks)
        super().__init__(message or self._summary())

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.ok]

    def _summary(self) -> str:
        names = [check.name for check in self.failed]
        return f"adapter refused by {len(names)} check(s): {', '.join(names)}"


class StoreError(AdapterError):
    """The store could not do what it was asked."""

    code = "store-error"


class StoreFull(StoreError):
    """There is no room left; nothing half-written stays behind."""

    code = "store-full"
    remedy = "Free space in the store, for example by retiring old versions, and push again."


class DigestMismatch(StoreError):
    """The bytes are not the ones that the digest names."""

    code = "digest-mismatch"
    remedy = "Push the version again; the copy was altered or cut short."


class NotInStore(StoreError):
    """The version's files are not in the store."""

    code = "not-in-store"


class RegistryError(AdapterError):
    """The durable record refused, or cannot be reached."""

    code = "registry-error"


class UnknownAlias(RegistryError):
    """No such alias."""

    code = "unknown-alias"
    remedy = "List them: `graftwork adapters`."

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(f"no adapter is registered as {alias!r}")


class UnknownVersion(RegistryError):
    """No such version of the alias."""

    code = "unknown-version"
    remedy = "List them: `graftwork adapters ALIAS`."

    def __init__(self, alias: str, digest: str) -> None:
        self.alias = alias
        self.digest = digest
        super().__init__(f"adapter {alias!r} has no version {digest!r}")


class IllegalMove(RegistryError):
    """The lifecycle has no edge for this step."""

    code = "illegal-move"
    remedy = "Look where it stands: `graftwork adapters ALIAS`."

    def __init__(self, message: str, *, state: str = "", wanted: str = "") -> None:
        self.state = state
        self.wanted = wanted
        super().__init__(message)


class Conflict(RegistryError):
    """Another change of the same alias is under way."""

    code = "conflict"
    remedy = "Wait until the change under way has finished, then try again."


class Withdrawn(Conflict):
    """A version was taken out of service while somebody brought it in."""

    code = "version-withdrawn"
    remedy = "Push it again if it should serve."


class NothingToRollBack(RegistryError):
    """The alias has no earlier version to return to."""

    code = "nothing-to-roll-back"
    remedy = "Make a version live: `graftwork promote ALIAS DIGEST`."


class Superseded(RegistryError):
    """This process may no longer write: another one has claimed the registry since."""

    code = "superseded"
    remedy = "Ask the registry that runs now. If there is none, restart this one: it claims anew."

    def __init__(self, writer: int | None, now: int) -> None:
        found = f"writer {now} took over from {writer}" if writer else "it was not claimed"
        super().__init__(f"this registry process may not write: {found}")


class FleetError(AdapterError):
    """An engine replica or a router did not do what it was asked."""

    code = "fleet-error"
    retryable: ClassVar[bool] = True


class ReplicaGone(FleetError):
    """The replica died or left the fleet."""

    code = "replica-gone"


class Unreachable(FleetError):
    """The replica does not answer; whether it is dead, membership will tell."""

    code = "unreachable"


class ConnectionBroke(Unreachable):
    """It had taken the call and fell silent before it answered: perhaps it died of it."""

    code = "connection-broke"


class InUse(FleetError):
    """A request is still under way on the version that should leave the replica."""

    code = "in-use"


class LoadFailed(FleetError):
    """The engine refused the version; the same files will be refused again."""

    code = "load-failed"
    retryable = False


class QuorumNotReached(FleetError):
    """Too few replicas or routers acknowledged before the deadline."""

    code = "quorum-not-reached"


class ProbeFailed(AdapterError):
    """The loaded version has no measurable effect, or misses its golden log probabilities."""

    code = "probe-failed"
    remedy = "Check that the adapter was trained for the base that is served."


class GateRefused(AdapterError):
    """The version is not as good as what answers now, or nobody can tell yet."""

    code = "gate-refused"
    remedy = "Look at the gate's report; where items are missing, review more and push it again."

    def __init__(self, message: str, check: CheckResult) -> None:
        self.check = check
        super().__init__(message)


class NotAsked(AdapterError):
    """Who has to be asked for a comparison did not answer."""

    code = "not-asked"
    remedy = "Push the version again when the target answers."


class GateOverdue(NotAsked):
    """The gate's test stood still, or took longer than it may; it is made again by itself."""

    code = "gate-overdue"
    remedy = (
        "See why the one that is named does not answer; where it is only slow, raise the gate's "
        "`stall_s` and `limit_s`, and push the version again."
    )
