"""A small client of a running Graftwork; whatever goes wrong becomes one line and exit code 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from serving.cli.output import emit, fail

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

CONNECT_S = 5.0
ANSWER_S = 60.0
PUBLISH_S = 900.0
"""Longer than a server waits for a publish (`wait=live`)."""
_PAGE = 1000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Failed(Exception):
    """The server refused, or cannot be reached. ``body``: its answer when that was JSON."""

    def __init__(self, message: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.body = body


class Client:
    """Calls one server, with one key; without one, under the name of ``actor``."""

    def __init__(self, url: str, key: str | None, actor: str | None = None) -> None:
        import httpx

        self._url = url.rstrip("/")
        host = _host(self._url)
        if host is None:
            raise Failed(f"{url!r} is not a URL: write it like http://127.0.0.1:8000")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise Failed("the API key holds characters that no key has")
        if actor is not None and not (actor.isascii() and actor.isprintable()):
            raise Failed("a name that is sent to the server is printable ASCII")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(
                headers={**headers, **({"x-graftwork-actor": actor} if actor else {})},
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                # A proxy of this machine's environment does not lead to this machine.
                trust_env=host not in _LOOPBACK,
            )
        except (ImportError, ValueError, OSError) as error:
            raise Failed(
                f"what the environment says about proxies or certificates cannot be used ({error}):"
                f" correct it, or add {host} to NO_PROXY"
            ) from error

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """GET a JSON object. Raises ``Failed``."""
        with self._translated():
            return self._answer(self._http.get(self._url + path))

    def pages(self, path: str, only: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET all of a list, as if it were one page. Raises ``Failed``."""
        query = {"limit": str(_PAGE), **(only or {})}
        whole = self.get(f"{path}?{urlencode(query)}")
        while whole["next"] is not None:
            more = self.get(f"{path}?{urlencode({**query, 'cursor': whole['next']})}")
            whole = {**whole, "data": [*whole["data"], *more["data"]], "next": more["next"]}
        return whole

    def post(
        self, path: str, body: Mapping[str, Any], timeout_s: float = PUBLISH_S
    ) -> dict[str, Any]:
        """POST JSON, get a JSON object. Raises ``Failed``."""
        with self._translated():
            timeout = self._timeout(timeout_s)
            return self._answer(self._http.post(self._url + path, json=body, timeout=timeout))

    def post_file(
        self, path: str, name: str, raw: bytes, fields: Mapping[str, str]
    ) -> dict[str, Any]:
        """POST a form with one file, get a JSON object. Raises ``Failed``."""
        with self._translated():
            timeout = self._timeout(PUBLISH_S)
            files = {"file": (name, raw, "application/octet-stream")}
            return self._answer(
                self._http.post(self._url + path, data=dict(fields), files=files, timeout=timeout)
            )

    def post_bytes(self, path: str, raw: bytes, kind: str) -> dict[str, Any]:
        """POST bytes of a media type, get a JSON object. Raises ``Failed``."""
        with self._translated():
            headers = {"content-type": kind}
            timeout = self._timeout(PUBLISH_S)
            return self._answer(
                self._http.post(self._url + path, content=raw, headers=headers, timeout=timeout)
            )

    def put(self, path: str, raw: bytes, kind: str) -> dict[str, Any]:
        """PUT bytes of a media type, get a JSON object. Raises ``Failed``."""
        with self._translated():
            headers = {"content-type": kind}
            timeout = self._timeout(PUBLISH_S)
            return self._answer(
                self._http.put(self._url + path, content=raw, headers=headers, timeout=timeout)
            )

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE, get a JSON object. Raises ``Failed``."""
        with self._translated():
            return self._answer(self._http.delete(self._url + path))

    def upload(
        self,
        path: str,
        content: Iterable[bytes],
        size_bytes: int,
        params: Mapping[str, str],
        kind: str = "application/octet-stream",
    ) -> dict[str, Any]:
        """POST bytes of a kind as they come, get a JSON object. Raises ``Failed``."""
        headers = {"content-type": kind, "content-length": str(size_bytes)}
        with self._translated():
            response = self._http.post(
                self._url + path,
                params=dict(params),
                content=content,
                headers=headers,
                timeout=self._timeout(PUBLISH_S),
            )
            return self._answer(response)

    @contextmanager
    def stream(self, path: str, quiet_s: float = ANSWER_S) -> Iterator[httpx.Response]:
        """GET an answer piece by piece; ``quiet_s`` is the longest pause. Raises ``Failed``."""
        with (
            self._translated(),
            self._http.stream("GET", self._url + path, timeout=self._timeout(quiet_s)) as response,
        ):
            if response.is_error:
                response.read()
                self._answer(response)
            yield response

    def _timeout(self, read_s: float) -> httpx.Timeout:
        import httpx

        return httpx.Timeout(read_s, connect=CONNECT_S)

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if response.is_success and isinstance(body, dict):
            return body
        raise Failed(_explanation(response.status_code, body, self._url), _object(body))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Failed(
                f"nothing answers on {self._url}: start it with `graftwork serve`, or say where it "
                "is with --url"
            ) from error
        except httpx.TimeoutException as error:
            raise Failed(f"{self._url} did not answer in time") from error
        except httpx.HTTPError as error:
            raise Failed(f"the connection to {self._url} broke: {error}") from error


def _host(url: str) -> str | None:
    import httpx

    try:
        httpx.URL(url)  # what it refuses it refuses at every call
        parts = urlsplit(url)
        is_http = parts.scheme in {"http", "https"} and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        return None
    return parts.hostname if is_http else None


def _object(body: Any) -> dict[str, Any] | None:
    return body if isinstance(body, dict) else None


def _explanation(status: int, body: Any, url: str) -> str:
    """OpenAI's error envelope as one line."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or "message" not in error:
        return f"{url} answered {status} and not as Graftwork does: is --url right?"
    remedy = " Give it with --key or GRAFTWORK_API_KEY." if status == 401 else ""
    code = f" ({error['code']})" if error.get("code") else ""
    return f"{error['message']}{remedy}{code}"


@contextmanager
def connected(
    url: str, key: str | None, *, as_json: bool = False, actor: str | None = None
) -> Iterator[Client]:
    """A client; what fails inside is said in one line (and as JSON where wanted), with exit 1."""
    client: Client | None = None
    try:
        client = Client(url, key, actor)
        yield client
    except Failed as error:
        if as_json and error.body is not None:
            emit(error.body)
        fail(str(error))
    finally:
        if client is not None:
            client.close()


def adapter_path(alias: str, *more: str) -> str:
    """Path of an adapter, or of something below it, on the admin plane."""
    parts = [quote(part, safe="@") for part in (alias, *more)]
    return "/admin/v1/adapters/" + "/".join(parts)
