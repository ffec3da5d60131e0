"""Where a deployment keeps what must not be lost, read from its deploy file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from serving.config.settings import Settings


class OperationRefused(Exception):
    """Nothing was changed; the message says why, and what to do."""


@dataclass(frozen=True)
class Places:
    """The registry's database, the content store, and the directory of everything else."""

    database_url: str
    content: str
    state_dir: Path

    @property
    def sqlite(self) -> Path | None:
        """The database's file; None for a server."""
        prefix = "sqlite:///"
        found = self.database_url.startswith(prefix)
        return Path(self.database_url.removeprefix(prefix)) if found else None


def read_places(config: Path) -> Places:
    """The places that a deploy file names, whatever its keys are. Raises ``OperationRefused``."""
    try:
        raw = yaml.safe_load(config.read_text(encoding="utf-8"))
        settings = Settings.model_validate(raw["applications"][0]["args"])
    except OSError as error:
        raise OperationRefused(f"{config} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValidationError) as error:
        raise OperationRefused(
            f"{config} is no deploy file: run `graftwork check {config}`"
        ) from error
    adapters = settings.adapters_here()
    assert adapters.database_url is not None
    assert adapters.content is not None
    return Places(adapters.database_url, adapters.content, settings.state_dir.absolute())
