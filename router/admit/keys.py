"""API keys: stored hashed, compared by hash, and changed while the router runs."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from router.admit.tokens import AccessTokens, looks_like_token
from router.config.auth import ApiKey, AuthConfig, KeyScope
from router.config.priority import Priority
from router.errors import Forbidden, Unauthenticated
from router.files import Mark, mark_of
from router.request import Caller

KEY_PREFIX = "gw-"
LOCAL = Caller(
    name="local",
    tenant="default",
    scopes=frozenset(KeyScope),
    priority=Priority.INTERACTIVE,
    is_local=True,
)
"""Whoever reaches a loopback-only process that has no keys."""


def new_key() -> str:
    """A fresh key with 256 bits of entropy, which is why a plain SHA-256 stores it safely."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Hex SHA-256 of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def load_keys(config: AuthConfig, *, may_be_empty: bool = False) -> tuple[ApiKey, ...]:
    """All configured keys. Raises ``ValueError`` or ``OSError`` for an unreadable keys file."""
    keys = list(config.keys)
    if config.keys_file is not None:
        rows = [row for path in files_of(config.keys_file) for row in _read(path)]
        if not rows and not may_be_empty:
            # Who names a file wants keys: without one, everything would be open.
            raise ValueError(f"{config.keys_file} holds no key")
        keys += [ApiKey.model_validate(row) for row in rows]
    names = [key.name for key in keys]
    if len(names) != len(set(names)):
        raise ValueError(f"keys must have distinct names, got {sorted(names)}")
    return tuple(keys)


def files_of(place: Path) -> list[Path]:
    """The file itself, or every file of a directory: a cluster mounts Secrets as one."""
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.iterdir() if not path.name.startswith("."))


def _read(path: Path) -> list[object]:
    text = path.read_text()
    try:
        rows = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold a list of keys")  # noqa: TRY004 - its content is wrong
    return rows


class Keyring:
    """Finds who a key belongs to, or a token speaks of.

    Made without keys and without issuers of tokens, everybody is ``LOCAL``, and that for good.
    """

    def __init__(self, keys: Iterable[ApiKey], tokens: AccessTokens | None = None) -> None:
        self._callers: dict[str, Caller] = {}
        self.tokens = tokens or AccessTokens(())
        self.replace(keys)
        self._is_open = not self._callers and not self.tokens

    @property
    def is_open(self) -> bool:
        """True when it was made without keys; one whose keys were all taken away is shut."""
        return self._is_open

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """From now on exactly these keys count."""
        self._callers = {
            key.sha256: Caller(
                name=key.name,
                tenant=key.tenant,
                scopes=key.scopes,
                priority=key.priority,
                claims=key.claims,
            )
            for key in keys
        }

    def named(self, name: str) -> tuple[str, Caller] | None:
        """The hash of the key of this name, and whose it is; None when there is none any more."""
        rows = self._callers.items()
        return next(((hashed, found) for hashed, found in rows if found.name == name), None)

    def identify(self, authorization: str | None, x_api_key: str | None) -> Caller:
        """Who sent these headers. Raises ``Unauthenticated``."""
        if self._is_open:
            return LOCAL
        bearer = _bearer(authorization)
        if bearer and self.tokens and looks_like_token(bearer):
            return self.tokens.identify(bearer)
        key = bearer or x_api_key
        if not key:
            raise Unauthenticated(
                "You did not provide an API key. Send it as 'Authorization: Bearer KEY' or "
                "'x-api-key: KEY'.",
                code="missing_api_key",
            )
        # The lookup is by the hash, so its timing tells nothing about the key.
        caller = self._callers.get(hash_key(key))
        if caller is None:
            raise Unauthenticated("Incorrect API key provided.")
        return caller

    def authorize(self, caller: Caller, scope: KeyScope) -> None:
        """Raises ``Forbidden`` when the caller lacks the scope; ``admin`` has the admin plane's."""
        administers = scope is not KeyScope.INFERENCE and KeyScope.ADMIN in caller.scopes
        if scope not in caller.scopes and not administers:
            raise Forbidden(
                f"The key {caller.name!r} lacks the scope {scope.value!r}.", code="missing_scope"
            )


def _bearer(authorization: str | None) -> str | None:
    if not authorization:
        return None
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


LOOK_S: Final = 1.0
_log = logging.getLogger("graftwork.router")

_State = tuple[tuple[Path, Mark | None], ...]


class KeysFile:
    """The keys file of a configuration, and the keyring that it fills; key sets of tokens too."""

    def __init__(self, config: AuthConfig, keyring: Keyring) -> None:
        self._config = config
        self._keyring = keyring
        self._seen = self._state()

    @property
    def is_there(self) -> bool:
        """Whether the configuration names one."""
        return self._config.keys_file is not None or bool(self._keyring.tokens)

    def look(self) -> None:
        """Take over what changed. Blocks.

        A key whose row is gone stops working, also when it was the last one. Raises ``OSError`` or
        ``ValueError`` for a file that cannot be read: the keys read last count until then. That a
        key set of tokens cannot be read keeps no key alive.
        """
        try:
            self._look_at_keys()
        finally:
            self._keyring.tokens.look()

    def _look_at_keys(self) -> None:
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
        return tuple((path, mark_of(path)) for path in files_of(place))
