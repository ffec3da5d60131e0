"""What Ray Serve does around the door, and where it may put it."""

from __future__ import annotations

from router.admit.browsers import is_loopback
from router.admit.keys import load_keys
from router.config.auth import AuthConfig
from router.wire.asgi import ASGIApp, Message, Receive, Scope, Send
from serving.config.settings import Settings

RAY_MORE_S = 20.0
"""What Ray Serve has to leave a request beyond its own deadline."""
_REQUEST_ID = b"x-request-id"


def without_request_id(app: ASGIApp) -> ASGIApp:
    """Drop the door's own ``x-request-id``: Ray Serve hands the id in and appends it itself."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [h for h in message["headers"] if h[0] != _REQUEST_ID]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_once)

    return wrapped


class OpenToOthers(Exception):
    """The endpoint would be open to other machines: it needs API keys, or has to stay here."""


def refuse_open(host: str | None, auth: AuthConfig) -> None:
    """Law 11, whoever starts it: raises ``OpenToOthers`` beyond loopback without keys."""
    if not is_loopback(host) and not auth.tokens and not load_keys(auth):
        raise OpenToOthers(
            f"refuses to serve on {host or 'every address'} without API keys: add "
            "applications.0.args.router.auth.keys (make one with `graftwork keys new`), or listen "
            "on 127.0.0.1 (http_options.host)"
        )


def ending_first(settings: Settings, ray_timeout_s: float | None) -> Settings:
    """Settings by which a request's own deadline comes before Ray Serve's.

    Ray cuts a stream without a word and takes it for the client's doing; ours ends it as the API
    says.
    """
    limits = settings.router.limits
    if ray_timeout_s is None or limits.request_timeout_s <= ray_timeout_s - RAY_MORE_S:
        return settings
    ours = max(ray_timeout_s - RAY_MORE_S, ray_timeout_s / 2)
    limits = limits.model_copy(update={"request_timeout_s": ours})
    router = settings.router.model_copy(update={"limits": limits})
    return settings.model_copy(update={"router": router})
