"""The keys of one provider: taken in turn, changed without a restart, set aside when refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Final

from router.config.providers import ProviderConfig, read_keys
from router.files import mark_of

_LOOK_S: Final = 1.0
_REFUSED_S: Final = 300.0
"""How long a key that was refused is not tried; a changed file ends that at once."""
_LIMITED_S: Final = 10.0
"""The same for one whose limits are used up, where the provider does not say how long."""


class Keys:
    """Taken in turn. Belongs to one event loop.

    Args:
        config: where they are.
        environ: where ``api_key_env`` is looked up.

    Raises:
        MissingKey: configured, and not there.
    """

    def __init__(
        self,
        config: ProviderConfig,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._environ = environ
        self._clock = clock
        self._mark = mark_of(self._config.api_key_file)
        self._keys = read_keys(config, environ)
        self._aside: dict[str, float] = {}
        self._looked = clock()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._keys)

    def take(self) -> str | None:
        """The next one that is not set aside, else the one whose time is over first.

        None: the provider needs none.
        """
        self._look()
        if not self._keys:
            return None
        now = self._clock()
        self._turn += 1
        for step in range(len(self._keys)):
            key = self._keys[(self._turn + step) % len(self._keys)]
            if self._aside.get(key, 0.0) <= now:
                return key
        return min(self._keys, key=lambda each: self._aside.get(each, 0.0))

    def refused(self, key: str | None) -> None:
        """The provider does not accept it."""
        self._set_aside(key, _REFUSED_S)

    def limited(self, key: str | None, seconds: float | None) -> None:
        """Its limits are used up for so long; None: the provider did not say."""
        self._set_aside(key, _LIMITED_S if seconds is None else min(seconds, _REFUSED_S))

    def has_another(self) -> bool:
        """Whether some other key is not set aside now."""
        now = self._clock()
        return len(self._keys) > 1 and any(self._aside.get(key, 0.0) <= now for key in self._keys)

    def _set_aside(self, key: str | None, seconds: float) -> None:
        if key is not None and len(self._keys) > 1:
            self._aside[key] = self._clock() + seconds

    def _look(self) -> None:
        """Read a file again that has changed; one that cannot be used changes nothing."""
        if self._config.api_key_file is None or self._clock() - self._looked < _LOOK_S:
            return
        self._looked = self._clock()
        mark = mark_of(self._config.api_key_file)
        if mark == self._mark:
            return
        try:
            self._keys = read_keys(self._config, self._environ)
        except ValueError:  # it is being written, or wrong: the keys that there are stay
            return
        self._mark = mark
        self._aside.clear()
