"""Settings of the adapter path: frozen, read once at start, each with its meaning and unit."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from adapters.format.archive import ArchiveLimits
from adapters.format.preflight import PreflightLimits


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchSettings(_Section):
    """The watched store: finished PEFT directories that appear in it are published."""

    enabled: bool = Field(default=True, description="watch the store at all")
    settle_s: float = Field(
        default=2.0,
        ge=0,
        description="seconds without a change after which a directory without `_SUCCESS` is taken",
    )
    poll_s: float = Field(
        default=5.0, gt=0, description="seconds between looks when file events do not arrive"
    )
    object_poll_s: float = Field(
        default=15.0, gt=0, description="seconds between listings of an object store"
    )
    retry_s: float = Field(
        default=5.0,
        gt=0,
        description="seconds before a publish that failed for a passing reason is tried again; "
        "doubles with each try",
    )
    max_retry_s: float = Field(
        default=300.0, gt=0, description="longest pause between tries, seconds"
    )
    max_entries: int = Field(
        default=10_000, ge=1, description="directories looked at in one pass; the rest is reported"
    )


class PushSettings(_Section):
    """Uploads over the admin API."""

    archive: ArchiveLimits = Field(
        default_factory=ArchiveLimits, description="how much a pushed archive may cost, bytes"
    )
    import_roots: tuple[Path, ...] = Field(
        default=(),
        description='local directories that `{"uri": …}` may name; the watched store always may',
    )
    wait_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="longest `wait=live`, seconds; after that the answer is 202 and work goes on",
    )
    waiting: int = Field(
        default=64,
        ge=1,
        description="pushes that wait on the disk for the first engine; further ones hear 503",
    )
    first_engine_s: float = Field(
        default=3.0,
        ge=0,
        description="seconds for which a push looks for the first engine before it is put among "
        "those that wait: engines report within one after a restart of the registry",
    )
    at_once: int = Field(
        default=16, ge=1, description="pushes that are received at once; further ones hear 429"
    )
    idle_timeout_s: float = Field(
        default=60.0, gt=0, description="longest pause inside an upload, seconds; then 408"
    )


class RolloutSettings(_Section):
    """How a version reaches the engines, and how the one before it leaves them."""

    copies: int | None = Field(
        default=None, ge=1, description="replicas that hold each alias; null: all of them"
    )
    quorum: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of those replicas that must hold a version before it is committed",
    )
    loads_at_once: int = Field(
        default=16,
        ge=1,
        description="replicas that load a version at the same time, at most a quarter of them: a "
        "load stalls decoding, and not all replicas should stall at once",
    )
    stagger_s: float = Field(
        default=0.05,
        ge=0,
        description="pause after a load before another replica begins in its place, seconds",
    )
    load_attempts: int = Field(
        default=2, ge=1, description="tries per replica when a load fails for a passing reason"
    )
    load_timeout_s: float = Field(
        default=120.0, gt=0, description="longest load or probe on one replica, seconds"
    )
    replicas_timeout_s: float = Field(
        default=600.0,
        gt=0,
        description="longest wait for a replica, or for the base where a known version is moved, "
        "seconds; a push that comes before the first engine waits without end (`push.waiting`)",
    )
    unreachable_timeout_s: float = Field(
        default=15.0,
        ge=0,
        description="longest wait until a replica that does not answer is known to be dead or "
        "answers again, seconds; a publish waits for it instead of failing",
    )
    routers_timeout_s: float = Field(
        default=10.0, gt=0, description="longest wait until every router has a new table, seconds"
    )
    min_effect: float = Field(
        default=1e-4,
        ge=0,
        description="the probe must see a larger log-probability difference from the base, nats",
    )
    drain_timeout_s: float = Field(
        default=120.0,
        ge=0,
        description="seconds to wait at a stretch for a version's last request; a version in use "
        "is never unloaded, later passes look again",
    )
    drain_poll_s: float = Field(default=0.1, gt=0, description="seconds between looks at in-flight")
    drain_settle_s: float = Field(
        default=1.0,
        ge=0,
        description="seconds that in-flight must stay at zero; longer than routers take to report",
    )
    keep_previous: int = Field(
        default=1,
        ge=0,
        description="superseded versions per alias kept loaded for instant rollback",
    )
    capacity: int | None = Field(
        default=None,
        ge=1,
        description="versions one replica may hold (vLLM's max_cpu_loras); null: no limit. Full "
        "replicas make room by retiring superseded versions, oldest first",
    )
    pinned: tuple[str, ...] = Field(
        default=(),
        description="aliases whose live version never leaves for want of room, and keeps a slot "
        "of the batch; at most `engine.max_loras` - 1",
    )
    tenants: dict[str, str] = Field(
        default_factory=dict,
        description="which tenant an alias belongs to, for `tenant_floor`; `default` unless named",
    )
    tenant_floor: int = Field(
        default=1,
        ge=0,
        description="hottest versions of each tenant that stay however hot others' are",
    )
    min_residence_s: float = Field(
        default=2.0,
        ge=0,
        description="a version that was used within so many seconds does not make room for a cold "
        "one; the cold one's requests are answered by the base meanwhile",
    )
    swaps_per_pass: int = Field(
        default=2,
        ge=1,
        description="cold versions that one pass may bring onto a full replica: each load stalls "
        "decoding for a moment",
    )
    prefetch_s: float = Field(
        default=1.0, gt=0, description="shortest pause between passes that bring cold versions in"
    )
    reconcile_s: float = Field(
        default=10.0, gt=0, description="seconds between passes that repair residency"
    )


class LadderSettings(_Section):
    """When a candidate climbs by itself, and when a version is taken back by itself."""

    auto_promote: bool = Field(
        default=False,
        description="shadow becomes canary and canary becomes live when their evidence suffices",
    )
    auto_rollback: bool = Field(
        default=True,
        description="a candidate that is worse is withdrawn; a new live version that is worse than "
        "the one before it is rolled back and quarantined",
    )
    canary_percent: float = Field(
        default=10.0, gt=0, le=100, description="share of an automatic canary, percent"
    )
    min_shadowed: int = Field(
        default=50, ge=1, description="secret answers before a shadow is judged"
    )
    min_agreement: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="mean word overlap (F1) with the live answers that a shadow must reach",
    )
    min_requests: int = Field(
        default=100, ge=1, description="answers before a canary is promoted or latency is compared"
    )
    min_requests_to_roll_back: int = Field(
        default=20, ge=1, description="answers before errors take a version back"
    )
    max_error_increase: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="error rate above the other version's that, beyond doubt, takes it back",
    )
    max_false_alarm: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="chance at most that a version which is no worse than that is taken back, over "
        "a whole stay in a stage, however often it is looked at",
    )
    max_latency_ratio: float = Field(
        default=1.5, ge=1, description="latency against the other version's that takes it back"
    )
    latency_quantile: float = Field(
        default=0.95, gt=0, lt=1, description="which latency is compared"
    )
    watch_live_s: float = Field(
        default=300.0, ge=0, description="seconds for which a new live version is watched"
    )
    tick_s: float = Field(default=1.0, gt=0, description="seconds between looks at the evidence")


class StagingSettings(_Section):
    """Copies of published versions on a node whose content store lies elsewhere."""

    max_bytes: int = Field(
        default=32 << 30,
        ge=1,
        description="all copies on one node together; the least recently used leave, never one "
        "that an engine holds or loads",
    )
    max_versions: int = Field(
        default=1024,
        ge=1,
        description="copies on one node; more than one replica may hold times the replicas there",
    )


class CollectSettings(_Section):
    """Which files leave the store of published versions, and when."""

    keep_s: float | None = Field(
        default=30 * 86_400.0,
        ge=0,
        description="seconds for which the files of a retired, failed or quarantined version stay; "
        "null: for ever. What is live, previous or a candidate of an alias stays anyhow, and so "
        "does everything of a pinned alias",
    )
    every_s: float = Field(
        default=3600.0, gt=0, description="seconds between looks for files that may leave"
    )
    history: int = Field(
        default=100_000,
        ge=1000,
        description="lines of history that the registry keeps; at each look the oldest go",
    )


class AdaptersConfig(_Section):
    """Everything about adapters."""

    store: str | None = Field(
        default=None,
        description="watched store: a local directory or an `s3://`, `gs://`, `az://` URL; "
        "default: `<state_dir>/adapters`",
    )
    content: str | None = Field(
        default=None,
        description="content-addressed store of published versions, a directory or a URL; default: "
        "in the watched store itself, under a name that the watch does not look at",
    )
    database_url: str | None = Field(
        default=None,
        description="`sqlite:///path` or `postgresql+psycopg://user@host/name`; "
        "default: `<state_dir>/registry.db`",
    )
    watch: WatchSettings = Field(default_factory=WatchSettings, description="the watched store")
    push: PushSettings = Field(default_factory=PushSettings, description="uploads")
    preflight: PreflightLimits = Field(
        default_factory=PreflightLimits,
        description="what a version must look like; bytes, ranks and signatures",
    )
    rollout: RolloutSettings = Field(default_factory=RolloutSettings, description="publishing")
    ladder: LadderSettings = Field(
        default_factory=LadderSettings, description="automatic promotion and rollback"
    )
    collect: CollectSettings = Field(
        default_factory=CollectSettings, description="cleaning the store of published versions"
    )
    staging: StagingSettings = Field(
        default_factory=StagingSettings,
        description="copies on nodes, when the content store is object storage",
    )
    events_kept: int = Field(
        default=1000, ge=10, description="adapter events remembered for the event stream"
    )

    def within(self, state_dir: Path) -> AdaptersConfig:
        """The same settings with every default place made explicit under ``state_dir``."""
        state = state_dir.absolute()
        store = self.store or str(state / "adapters")
        # A local store hides versions under a dot by itself; object keys get their own prefix.
        content = f"{store.rstrip('/')}/.graftwork" if "://" in store else store
        return self.model_copy(
            update={
                "store": store,
                "content": self.content or content,
                "database_url": self.database_url or f"sqlite:///{state / 'registry.db'}",
            }
        )
