"""Where a deployment keeps what must not be lost, read from its deploy file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from serving.config.reading import NotYaml, read_yaml
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


def read_places(config: Path, state_dir: Path | None = None) -> Places:
    """The places that a deploy file names, whatever its keys are.

    ``state_dir``: in place of the file's. Raises ``OperationRefused``.
    """
    try:
        raw = read_yaml(config)
        settings = Settings.model_validate(raw["applications"][0]["args"])
    except OSError as error:
        raise OperationRefused(
            f"{config} cannot be read ({error.strerror}): name what is served with --config"
        ) from error
    except (NotYaml, KeyError, IndexError, TypeError, ValidationError) as error:
        raise OperationRefused(
            f"{config} is no deploy file: run `graftwork check {config}`"
        ) from error
    if state_dir is not None:
        settings = settings.model_copy(update={"state_dir": state_dir})
    adapters = settings.adapters_here()
    assert adapters.database_url is not None
    assert adapters.content is not None
    return Places(adapters.database_url, adapters.content, settings.state_dir.absolute())
