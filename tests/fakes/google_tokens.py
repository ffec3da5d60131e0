"""Google's token endpoint and a machine's metadata server, on loopback."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL: Final = "graftwork@acme.iam.gserviceaccount.com"
KEY_ID: Final = "0123abcd"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_METADATA: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeTokens:
    """The servers; a context manager.

    Attributes:
        valid: the tokens that were given out and are still good.
        asked: how often somebody asked.
        lasts_s: how long tokens are said to last, seconds.
        status: what asking is answered with; 200: a token.
        delay_s: pause before an answer, seconds.
        says: in place of an answer with a token.
    """

    def __init__(self) -> None:
        self.valid: set[str] = set()
        self.asked = 0
        self.lasts_s: Any = 3600
        self.status = 200
        self.delay_s = 0.0
        self.says: bytes | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where they are."""
        return f"http://127.0.0.1:{self.port}"

    def account(self, path: Path, **more: Any) -> Path:
        """A service account's file."""
        pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        told = {
            "type": "service_account",
            "client_email": EMAIL,
            "private_key_id": KEY_ID,
            "private_key": pem,
            "token_uri": f"{self.url}/token",
        }
        path.write_bytes(orjson.dumps({**told, **more}))
        return path

    async def _granted(self, request: web.Request) -> web.Response:
        self.asked += 1
        form = await request.post()
        assertion = str(form["assertion"])
        try:
            claims = jwt.decode(
                assertion, KEY.public_key(), algorithms=["RS256"], audience=f"{self.url}/token"
            )
            right = claims["iss"] == EMAIL and claims["scope"] == SCOPE
            right = right and claims["exp"] - claims["iat"] <= 3600
            right = right and jwt.get_unverified_header(assertion)["kid"] == KEY_ID
        except (jwt.InvalidTokenError, LookupError):
            right = False
        if not right or form["grant_type"] != _GRANT:
            told = {"error": "invalid_grant", "error_description": f"Bad {assertion}"}
            return web.json_response(told, status=400)
        return await self._token()

    async def _of_the_machine(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        return await self._token()

    async def _token(self) -> web.Response:
        await asyncio.sleep(self.delay_s)
        if self.status != 200:
            told = {"error": "unavailable", "error_description": "secret"}
            return web.json_response(told, status=self.status)
        if self.says is not None:
            return web.Response(body=self.says, content_type="application/json")
        token = f"ya29.token-{self.asked}"
        self.valid.add(token)
        found = {"access_token": token, "expires_in": self.lasts_s, "token_type": "Bearer"}
        return web.json_response(found)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/token", self._granted)
        app.router.add_get(_METADATA, self._of_the_machine)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
