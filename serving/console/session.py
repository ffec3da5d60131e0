"""Who looks: a key is shown once, then a cookie stands for it. Nothing of the key is in the cookie.

The cookie says whose it is and until when, sealed with what all routers of one system know and
nobody else does, and with the key's hash: it ends with the key, and with the registry that runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import Request

from router.admit.keys import LOCAL, Keyring, hash_key
from router.errors import Forbidden, Overloaded
from router.request import Caller

COOKIE: Final = "graftwork_console"
LASTS_S: Final = 12 * 3600
BACK: Final = "graftwork_console_back"
"""The page that somebody asked for before he logged in."""
_PAGE: Final = re.compile(r"[/?][\x21-\x7e]{0,1000}")
_SAFE: Final = frozenset({"GET", "HEAD"})


class Sessions:
    """Logs people in, and knows them again.

    Args:
        keyring: the keys.
        secret: what all routers of the system know; None while there is none.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        keyring: Keyring,
        secret: Callable[[], str | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = keyring
        self._secret = secret
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """There are no keys: whoever is on this machine is let in."""
        return self._keyring.is_open

    def cookie_for(self, key: str, *, secure: bool) -> str:
        """The header that logs the key's owner in. Raises ``Unauthenticated``, ``Overloaded``."""
        caller = self._keyring.identify(None, key.strip())
        until = int(self._clock()) + LASTS_S
        name = base64.urlsafe_b64encode(caller.name.encode()).decode().rstrip("=")
        said = f"{name}.{until}"
        value = f"{said}.{self._seal(said, hash_key(key.strip()))}"
        return _header(value, LASTS_S, secure=secure)

    def ended(self, *, secure: bool) -> str:
        """The header that logs out."""
        return _header("", 0, secure=secure)

    def caller(self, request: Request) -> Caller | None:
        """Who sent this; None: nobody that is logged in. Raises ``Overloaded``."""
        if self.is_open:
            return LOCAL
        value = _cookie(request)
        name, _, rest = value.partition(".")
        until, _, seal = rest.partition(".")
        if not (until.isascii() and until.isdigit()) or int(until[:12]) < self._clock():
            return None
        try:
            plain = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        except ValueError:
            return None
        found = self._keyring.named(plain)
        if found is None:
            return None
        hashed, caller = found
        right = self._seal(f"{name}.{until}", hashed)
        return caller if hmac.compare_digest(right.encode(), seal.encode()) else None

    def _seal(self, said: str, hashed: str) -> str:
        secret = self._secret()
        if secret is None:
            raise Overloaded("The registry is starting; try again shortly.", retry_after_s=1.0)
        key = hashlib.sha256(f"console {secret} {hashed}".encode()).digest()
        return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def check_origin(request: Request) -> None:
    """Only this server's own pages act. Raises ``Forbidden``."""
    origin = request.headers.get("origin")
    if origin is None and request.method in _SAFE:
        return  # a link was followed; the cookie does not come along from elsewhere
    host = request.headers.get("host", "")
    if not origin or not host or _host_of(origin) != host.lower():
        raise Forbidden("Only the console's own pages may do this.", code="origin_not_allowed")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # brackets that hold no address
        return ""


def coming_back(page: str, lasts_s: int) -> str:
    """The header by which a page, as its path below the console, is gone on at after the login."""
    kept = [f"{BACK}={quote(page, safe='')}", "Path=/console", f"Max-Age={lasts_s}"]
    return "; ".join([*kept, "HttpOnly", "SameSite=Strict"])


def back(request: Request) -> str:
    """The page that was asked for before; empty: the first one."""
    wanted = unquote(request.cookies.get(BACK, ""))
    return wanted if _PAGE.fullmatch(wanted) and ".." not in wanted else ""


def _cookie(request: Request) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return ""
    found = jar.get(COOKIE)
    return "" if found is None else found.value


def _header(value: str, lasts_s: int, *, secure: bool) -> str:
    parts = [f"{COOKIE}={value}", "Path=/console", f"Max-Age={lasts_s}", "HttpOnly"]
    return "; ".join([*parts, "SameSite=Strict", *(["Secure"] if secure else [])])
