"""What may be distilled, and into which alias: from what somebody asked to a ``Wish``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from adapters.dataset.frozen import Dataset
from adapters.distill.distillations import Wish
from adapters.distill.ports import TrainingData
from adapters.distill.settings import TrainingSettings
from adapters.errors import BadName
from adapters.flywheel.config import FlywheelConfig
from adapters.format.names import validate_alias
from adapters.resources import first_problem

_NO_NAME: Final = re.compile(r"[^a-z0-9._-]+")


class NotDistillable(ValueError):
    """What was asked makes no sense. ``status`` as over HTTP."""

    def __init__(
        self, message: str, param: str, status: int = 422, code: str = "invalid_value"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


class Asking:
    """Completes what was asked by the configured routes.

    Args:
        config: the routes.
        datasets: what may be distilled.
        learners: the alias that an intent got when it was made of a cluster; None: it was not.
            May block.
        means_otherwise: why a name cannot be an alias, though it looks like one; None: it can.
    """

    def __init__(
        self,
        config: FlywheelConfig,
        datasets: TrainingData,
        learners: Callable[[str], str | None] = lambda _intent: None,
        means_otherwise: Callable[[str], str | None] = lambda _alias: None,
    ) -> None:
        self._config = config
        self._datasets = datasets
        self._learners = learners
        self._means_otherwise = means_otherwise

    def wish(
        self,
        *,
        intent: str = "",
        dataset: str = "",
        alias: str = "",
        settings: Mapping[str, Any] | None = None,
        cause: str = "request",
        author: str = "unknown",
    ) -> Wish:
        """What is to be done. Blocks. Raises ``NotDistillable``."""
        if not intent and not dataset:
            raise NotDistillable("Name an 'intent' or a 'dataset' to distil.", "intent")
        found = self._dataset(dataset) if dataset else None
        if found is not None and not intent and len(found.counts) == 1:
            intent = next(iter(found.counts))
        alias = alias or self._alias(intent)
        try:
            validate_alias(alias)
        except BadName as error:
            raise NotDistillable(f"alias: {error.advice}", "alias") from error
        # Now, and not when a training of hours is to be pushed.
        if other := self._means_otherwise(alias):
            raise NotDistillable(f"alias: {other}. Name another 'alias'.", "alias")
        return Wish(
            alias=alias,
            intent=intent,
            dataset="" if found is None else found.digest,
            settings=_settings(settings or {}),
            cause=cause,
            author=author,
        )

    def alias_of(self, intent: str) -> str:
        """The alias that learns an intent: its route's, its own, or one of its name. May block."""
        route = self._config.routes.get(intent)
        if route is not None:
            return route.alias
        return self._learners(intent) or _NO_NAME.sub("-", intent.lower()).strip("-")

    def _alias(self, intent: str) -> str:
        if not intent:
            raise NotDistillable(
                "The dataset has several intents: name the 'alias' that learns them.", "alias"
            )
        return self.alias_of(intent)

    def _dataset(self, digest: str) -> Dataset:
        found = self._datasets.known(digest)
        if found is None:
            raise NotDistillable(
                f"There is no dataset {digest}. List them: `graftwork datasets list`.",
                "dataset",
                404,
                "not_found",
            )
        if found.erased or found.rebuilt_as is not None:
            left = found.rebuilt_as or "nothing"
            raise NotDistillable(
                f"The dataset {digest} was erased; {left} is what is left of it.",
                "dataset",
                410,
                "erased",
            )
        return found


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked = TrainingSettings.model_validate_json(json.dumps(dict(given)), strict=True)
    except ValidationError as error:
        name, what = first_problem(error)
        field = f"settings.{name}" if name else "settings"
        raise NotDistillable(f"{field}: {what}", field) from error
    return checked.model_dump(mode="json", exclude_unset=True)
