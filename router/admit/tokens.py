"""JSON Web Tokens in place of keys: who an identity provider says that somebody is.

Signatures are checked against a key set in a file; nobody is asked over the network. Formats: RFC
7519 (tokens), RFC 7517 (key sets). A token's holder is a person more often than a program, so what
names it goes where subjects go, and not into logs: the caller's name is the issuer's.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from router.config.auth import KeyScope, TokenIssuer
from router.errors import Unauthenticated
from router.files import Mark, mark_of
from router.request import Caller

_MAX_TOKEN: Final = 16 * 1024
_MAX_KEY_SET: Final = 1024 * 1024
_REMEMBERED: Final = 4096
_REMEMBERED_S: Final = 60.0
_MAX_TEXT: Final = 1000
_MAX_LIST: Final = 64


def looks_like_token(value: str) -> bool:
    """Whether a credential has a token's form; keys have no dots."""
    return value.count(".") == 2 and value.startswith("ey")


class _Issuer:
    """One issuer, with its key set as it was last read."""

    def __init__(self, config: TokenIssuer) -> None:
        self.config = config
        self._seen: Mark | None = None
        self.keys: dict[str, jwt.PyJWK] = {}
        self.look()

    def look(self) -> bool:
        """Read the key set if it changed. Blocks. Raises ``OSError`` and ``ValueError``."""
        path = self.config.jwks_file
        seen = mark_of(path)
        if seen is not None and seen == self._seen:
            return False
        if path.stat().st_size > _MAX_KEY_SET:
            raise ValueError(f"{path} is larger than {_MAX_KEY_SET} bytes")
        try:
            keys = jwt.PyJWKSet.from_dict(json.loads(path.read_bytes())).keys
        except (jwt.PyJWTError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{path} is no JSON Web Key Set: {error}") from error
        found = {key.key_id or "": key for key in keys if key.key_type != "oct"}
        if not found:
            raise ValueError(f"{path} holds no public key")
        self.keys, self._seen = found, seen
        return True


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float


class AccessTokens:
    """Finds who a token speaks of.

    Raises:
        OSError: an issuer's key set is not there.
        ValueError: it is none.
    """

    def __init__(self, issuers: Sequence[TokenIssuer]) -> None:
        self._issuers = {each.issuer: _Issuer(each) for each in issuers}
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._issuers)

    @property
    def remembered(self) -> int:
        """Tokens that were verified lately."""
        return len(self._known)

    def look(self) -> None:
        """Take over key sets that changed. Blocks. Raises ``OSError`` and ``ValueError``."""
        failed: Exception | None = None
        for issuer in self._issuers.values():
            try:
                changed = issuer.look()
            except (OSError, ValueError) as error:  # the others' keys are looked at all the same
                failed = error
            else:
                self._known = OrderedDict() if changed else self._known
        if failed is not None:
            raise failed

    def identify(self, token: str) -> Caller:
        """Who it speaks of. Raises ``Unauthenticated``, which says what is wrong, not who asks."""
        if len(token) > _MAX_TOKEN:
            raise Unauthenticated("The token is too long.", code="invalid_token")
        mark = hashlib.sha256(token.encode()).digest()
        now = time.time()
        known = self._known.get(mark)
        if known is not None and now < known.until:
            return known.caller
        try:
            caller, ends = self._verified(token)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The token has expired.", code="token_expired") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            said = f"The token is not valid: {error}"
            raise Unauthenticated(said, code="invalid_token") from error
        self._known[mark] = _Known(caller, min(now + _REMEMBERED_S, ends))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _verified(self, token: str) -> tuple[Caller, float]:
        said = jwt.decode(token, options={"verify_signature": False})
        issuer = self._issuers.get(str(said.get("iss")))
        if issuer is None:
            raise jwt.InvalidIssuerError("nobody here takes tokens of this issuer")
        config = issuer.config
        key = issuer.keys.get(jwt.get_unverified_header(token).get("kid") or "")
        if key is None:
            raise jwt.InvalidKeyError("its key is not in the issuer's key set")
        claims = jwt.decode(
            token,
            key,
            algorithms=list(config.algorithms),
            audience=config.audience,
            issuer=config.issuer,
            leeway=config.leeway_s,
            options={"require": ["exp", "iss", "aud"]},
        )
        return _caller(config, claims), float(claims["exp"]) + config.leeway_s


def _caller(config: TokenIssuer, claims: Mapping[str, Any]) -> Caller:
    client = _text(claims, config.client_claim)
    return Caller(
        name=f"{config.name}/{client}" if client else config.name,
        tenant=_tenant(config, claims),
        scopes=_scopes(config, claims),
        priority=config.priority,
        claims={name: claims[name] for name in config.claims if _is_plain(claims.get(name))},
        subject=_text(claims, config.subject_claim),
    )


def _tenant(config: TokenIssuer, claims: Mapping[str, Any]) -> str:
    if config.tenant_claim is None:
        return config.tenant
    tenant = _text(claims, config.tenant_claim)
    if tenant is None:
        raise jwt.MissingRequiredClaimError(config.tenant_claim)
    return tenant


def _scopes(config: TokenIssuer, claims: Mapping[str, Any]) -> frozenset[KeyScope]:
    """What the token grants, and the configuration lets it grant."""
    if config.scope_claim is None:
        return config.scopes
    said = claims.get(config.scope_claim)
    granted = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    return frozenset(scope for scope in config.scopes if scope.value in granted)


def _text(claims: Mapping[str, Any], name: str | None) -> str | None:
    value = claims.get(name) if name else None
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MAX_LIST and all(isinstance(v, str) and _is_plain(v) for v in value)
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)
