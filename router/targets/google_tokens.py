"""Access tokens of Google Cloud: fetched when they are needed, renewed before they expire.

https://developers.google.com/identity/protocols/oauth2/service-account,
https://cloud.google.com/compute/docs/access/authenticate-workloads
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import jwt
import orjson
from yarl import URL

from router.config.google import BadAccount, GoogleAuth, ServiceAccount, read_service_account
from router.errors import Failure, TargetUnavailable
from router.files import mark_of
from router.targets.egress import STRAIGHT, Way
from router.targets.http_client import HttpClient, RawAnswer, json_headers

EARLY_S: Final = 225.0
"""A token is renewed so long before it expires; Google's own machines do no sooner."""
LEAST_S: Final = 10.0
"""One that expires sooner is not used for a call."""
PAUSE_S: Final = 5.0
"""How long after a failure nobody asks again."""
YOUNG_S: Final = 30.0
"""A token that is refused although it is no older would only be replaced by its like."""
_FETCH_S: Final = 10.0
_LOOK_S: Final = 1.0
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_METADATA_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_log = logging.getLogger("graftwork.router")


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    value: str
    fetched: float
    expires: float

    @property
    def renewed(self) -> float:
        """When another one is asked for."""
        return self.expires - min(EARLY_S, (self.expires - self.fetched) / 2)


class AccessTokens:
    """The tokens of one provider. Belongs to one event loop.

    One caller at a time asks for a new one; the others go on with the old one, or wait for the same
    answer: what one attempt says, all hear who waited for it.

    Args:
        client: the shared HTTP client.
        auth: where tokens come from.
        name: the provider's, for messages.
        way: out of the network; the metadata server is always asked directly.

    Raises:
        BadAccount: the file cannot be used.
    """

    def __init__(
        self,
        client: HttpClient,
        auth: GoogleAuth,
        name: str,
        *,
        way: Way = STRAIGHT,
        connect_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._auth = auth
        self._name = f"frontier:{name}"
        self._way = way
        self._connect_timeout_s = connect_timeout_s
        self._clock = clock
        self._mark = mark_of(self._auth.service_account_file)
        self._looked = clock()
        self._account: ServiceAccount | None = None
        if auth.service_account_file is not None:
            self._account = read_service_account(auth.service_account_file)
        self._token: _Token | None = None
        self._failure: TargetUnavailable | None = None
        self._failed = 0.0
        self._attempts = 0
        self._lock = asyncio.Lock()

    async def take(self) -> str:
        """One that is good for a call.

        Raises:
            TargetUnavailable: there is none, and why.
        """
        self._look()
        token = self._usable()
        is_old = token is None or self._clock() >= token.renewed
        if token is not None and not (is_old and self._may_ask() and not self._lock.locked()):
            return token.value
        attempts = self._attempts
        async with self._lock:
            if self._attempts == attempts and self._may_ask():
                await self._ask()
        token = self._usable()
        if token is not None:
            return token.value
        raise self._as_raised()

    def refused(self, value: str) -> bool:
        """The provider does not accept it; whether another one is worth a try."""
        token = self._token
        if token is None or token.value != value:
            return True  # it was replaced meanwhile
        if self._clock() - token.fetched < YOUNG_S:
            return False
        self._token = None
        return True

    def _usable(self) -> _Token | None:
        token = self._token
        if token is None or self._clock() >= token.expires - LEAST_S:
            return None
        return token

    def _may_ask(self) -> bool:
        return self._failure is None or self._clock() - self._failed >= PAUSE_S

    def _as_raised(self) -> TargetUnavailable:
        """A new one each time: it is raised by many."""
        failure = self._failure or self._unavailable("it has just expired", Failure.TIMEOUT)
        return TargetUnavailable(
            failure.message,
            status=failure.status,
            retry_after_s=PAUSE_S,
            failure=failure.failure,
        )

    async def _ask(self) -> None:
        """Ends with a token or a failure; being cancelled is neither."""
        try:
            self._token = await self._fetched()
            self._failure = None
        except TargetUnavailable as error:
            self._failure, self._failed = error, self._clock()
            _log.warning("%s", error.message)
        self._attempts += 1

    async def _fetched(self) -> _Token:
        account = self._account
        asked = self._clock()
        answer = await (self._of_the_machine() if account is None else self._granted(account))
        raw = await answer.error_body()
        if answer.status != 200:
            raise self._refusal(answer.status, raw)
        read = _read(raw)
        if read is None:
            raise self._unavailable("something else was answered", Failure.BROKEN)
        value, lasts_s = read
        return _Token(value, asked, asked + lasts_s)

    async def _granted(self, account: ServiceAccount) -> RawAnswer:
        now = int(time.time())
        claims = {
            "iss": account.email,
            "scope": self._auth.scope,
            "aud": account.token_url,
            "iat": now,
            "exp": now + 3600,
        }
        headers = {"kid": account.key_id} if account.key_id else None
        assertion = jwt.encode(claims, account.key, algorithm="RS256", headers=headers)
        return await self._client.post(
            URL(account.token_url),
            {**json_headers(), "Content-Type": "application/x-www-form-urlencoded"},
            urlencode({"grant_type": _GRANT, "assertion": assertion}).encode(),
            target=self._name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=_FETCH_S,
            way=self._way,
        )

    async def _of_the_machine(self) -> RawAnswer:
        return await self._client.get(
            URL(self._auth.metadata_url + _METADATA_PATH),
            {"Metadata-Flavor": "Google", "Accept-Encoding": "identity"},
            target=self._name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=_FETCH_S,
        )

    def _refusal(self, status: int, raw: bytes) -> TargetUnavailable:
        """Only the code of the error is repeated: its text may show more."""
        try:
            code = str(orjson.loads(raw)["error"])
        except (ValueError, LookupError, TypeError):
            code = ""
        said = f"{status} {code}" if code.isidentifier() and len(code) <= 64 else str(status)
        failure = Failure.SERVER if status >= 500 else Failure.CREDENTIALS
        return self._unavailable(said, failure)

    def _unavailable(self, why: str, failure: Failure) -> TargetUnavailable:
        return TargetUnavailable(
            f"{self._name} has no access token: {why}.", retry_after_s=PAUSE_S, failure=failure
        )

    def _look(self) -> None:
        """Read a file again that has changed; one that cannot be used changes nothing."""
        path = self._auth.service_account_file
        if path is None or self._clock() - self._looked < _LOOK_S:
            return
        self._looked = self._clock()
        mark = mark_of(self._auth.service_account_file)
        if mark == self._mark:
            return
        try:
            self._account = read_service_account(path)
        except BadAccount:  # it is being written, or wrong: what there is stays
            return
        self._mark = mark
        self._token = self._failure = None


def _read(raw: bytes) -> tuple[str, float] | None:
    """A token and how long it lasts, seconds; None: it is no token, or one that does not last."""
    try:
        found = orjson.loads(raw)
        value, lasts_s = found["access_token"], float(found["expires_in"])
        is_token = value.isascii() and value.isprintable() and lasts_s > LEAST_S
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return (value, lasts_s) if is_token else None
