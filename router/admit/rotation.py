"""API keys change while the router runs: the keys file is looked at again and again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from router.admit.keys import Keyring, files_of, load_keys
from router.config.auth import AuthConfig

LOOK_S: Final = 1.0
_log = logging.getLogger("graftwork.router")

_State = tuple[tuple[str, int, int, int], ...]


class KeysFile:
    """The keys file of a configuration, and the keyring that it fills."""

    def __init__(self, config: AuthConfig, keyring: Keyring) -> None:
        self._config = config
        self._keyring = keyring
        self._seen = self._state()

    @property
    def is_there(self) -> bool:
        """Whether the configuration names one."""
        return self._config.keys_file is not None

    def look(self) -> None:
        """Take over what changed. Blocks.

        A key whose row is gone stops working, also when it was the last one. Raises ``OSError`` or
        ``ValueError`` for a file that cannot be read: the keys read last count until then.
        """
        state = self._state()
        if state == self._seen:
            return
        keys = load_keys(self._config, may_be_empty=True)
        self._keyring.replace(keys)
        self._seen = state
        _log.info("API keys were read again: %d", len(keys))

    def _state(self) -> _State:
        place = self._config.keys_file
        if place is None:
            return ()
        return tuple(_of(path) for path in files_of(place))


def _of(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return str(path), found.st_ino, found.st_mtime_ns, found.st_size
