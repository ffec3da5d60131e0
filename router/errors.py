"""What can go wrong with a request.

RouterError                     the door answers with its status, type, code
├── Refused             any     what the admin plane's handlers explained
├── InvalidRequest      400     fix the request
│   └── NotKept                 it goes on from a response that nobody keeps
├── Unauthenticated     401     fix the key
├── Forbidden           403     the key's scope or the policy does not allow it
├── ReviewPending       202     a person looks at it before anybody is asked
├── NotFound            404     unknown route, model or decision
├── Gone                410     a version that was retired
├── MethodNotAllowed    405
├── TooLarge            413     body over the configured limit
├── TooSlow             408     body did not arrive in time
├── UnsupportedEncoding 415     body packed in an unknown way
├── Overloaded          503     come back later (``retry_after_s``)
│   └── AuditUnavailable        the disk takes no records
├── GuardUnavailable    503     what must not leave cannot be looked for: nobody was asked
├── SecretBlocked       422     the request has a secret in it
├── RateLimited         429     the caller's requests or tokens are used up
│   └── BudgetExceeded          a budget does not cover it
└── TargetError                 a target failed; sorted by what the caller may do
    ├── TargetRejected          the target says that the request is wrong: do not try elsewhere
    ├── TargetUnavailable       nothing was answered: another target may be tried
    └── TargetBroken            bytes were already sent: end the stream with an error event
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

_ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    410: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANTHROPIC_PATH = "/v1/messages"
_UNSAID_S: Mapping[int, float] = {429: 5.0, 503: 1.0}
"""After how long a client may try again where a target did not say, by status, seconds."""


class Failure(StrEnum):
    """How a target failed; what may be done about it is in `router/send/remedy.py`."""

    UNREACHABLE = "unreachable"
    """No connection."""
    RESET = "reset"
    """The connection ended without an answer."""
    TIMEOUT = "timeout"
    """Nothing, or not enough, in time."""
    SERVER = "server_error"
    """5xx."""
    LIMITED = "rate_limited"
    """429, or 503 with ``Retry-After``."""
    CREDENTIALS = "credentials"
    """The provider does not accept our key, or our account is used up."""
    MISSING = "missing"
    """It does not have the model."""
    BUSY = "busy"
    """Our own limit of calls to it is reached."""
    BROKEN = "broken"
    """It answered something that is no answer: HTML, half a JSON, an error inside a 200."""
    CUT = "cut"
    """The answer ended before it was complete."""
    STALLED = "stalled"
    """The answer began and then nothing came."""


class RouterError(Exception):
    """An error that knows how to answer the client.

    Attributes:
        status: HTTP status code.
        type: OpenAI's error ``type``.
        code: stable machine-readable code.
        param: the request field at fault, when there is one.
        retry_after_s: seconds after which a retry makes sense.
        sequence: the number of its event where it ends a stream whose events are numbered.
    """

    status = 500
    type = "server_error"
    code = "internal_error"
    sequence = 0

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def come_back_s(self) -> float | None:
        """What the client is told in ``Retry-After``, seconds; None: nothing."""
        return self.retry_after_s

    def body(self) -> dict[str, Any]:
        """OpenAI's error envelope."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class Refused(RouterError):
    """An error that the admin plane explained: any status, and ``more`` beside the error itself."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, retry_after_s=retry_after_s)
        self.status = status
        self.type = "invalid_request_error" if status < 500 else "server_error"
        self.more = dict(more or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error envelope, and what belongs beside it."""
        return {**super().body(), **self.more}


class InvalidRequest(RouterError):
    """The request cannot be answered as it is."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class NotKept(InvalidRequest):
    """The request goes on from a response that nobody who may answer keeps."""

    code = "previous_response_not_found"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"No response is kept that this request could go on from ({why}). Send the whole "
            "conversation in `input`, or name a model whose provider keeps responses.",
            param="previous_response_id",
        )


class Unauthenticated(RouterError):
    """No key, or one that is not known."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(RouterError):
    """The key is known but may not do this."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class ReviewPending(RouterError):
    """A rule wants a person to look at the request first: no error, and no answer yet."""

    status = 202
    type = "review_pending"
    code = "review_pending"

    def __init__(self, review: str, rules: str) -> None:
        super().__init__(f"A person looks at this first (rule {rules}).")
        self.review = review

    def body(self) -> dict[str, Any]:
        """The review, in place of an answer."""
        return {"object": "review", "id": self.review, "state": "open", "message": self.message}


class NotFound(RouterError):
    """Unknown route, model or record."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class Gone(RouterError):
    """It was there, and will not come back."""

    status = 410
    type = "invalid_request_error"
    code = "gone"


class MethodNotAllowed(RouterError):
    """The route exists, the method does not. ``allowed``: those that do, as ``Allow`` has them."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"

    def __init__(self, path: str, method: str, allowed: str) -> None:
        super().__init__(f"{path} takes {allowed}, not {method}.")
        self.allowed = allowed


class TooLarge(RouterError):
    """The body exceeds the configured limit."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class TooSlow(RouterError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class UnsupportedEncoding(RouterError):
    """The body is packed in a way that nobody here unpacks."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_encoding"


class Overloaded(RouterError):
    """A queue or a limit is full; come back after ``retry_after_s``."""

    status = 503
    type = "server_error"
    code = "overloaded"
    failure = Failure.BUSY


class AuditUnavailable(Overloaded):
    """There is no room for records, so nothing is done that would have to be recorded."""

    code = "audit_unavailable"


class GuardUnavailable(RouterError):
    """What must not leave cannot be looked for now: nothing is sent (law 6). Never routed around.

    Raise it without what was to be looked at.
    """

    status = 503
    type = "server_error"
    code = "guard_unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class SecretBlocked(RouterError):
    """The request has a secret in it. The message must not repeat it."""

    status = 422
    type = "invalid_request_error"
    code = "secret_blocked"


class RateLimited(RouterError):
    """This caller's limit is used up; come back after ``retry_after_s``."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExceeded(RateLimited):
    """A configured budget does not cover the request; the message says which, and until when."""

    type = "insufficient_quota"
    code = "budget_exceeded"


class TargetError(RouterError):
    """A target failed to answer."""

    status = 502
    code = "upstream_error"


class TargetRejected(TargetError):
    """The target says that the request is wrong.

    Attributes:
        status: the target's own status.
    """

    type = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        error_type: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status = status
        if error_type:
            self.type = error_type


class TargetUnavailable(TargetError):
    """The target answered nothing that was passed on; another one may be tried."""

    status = 502
    code = "upstream_unavailable"

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        retry_after_s: float | None = None,
        failure: Failure = Failure.SERVER,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        self.failure = failure
        if status == RateLimited.status:
            self.type = RateLimited.type

    @property
    def come_back_s(self) -> float | None:
        """As the target said; where it only says that it has too much to do, a guess."""
        if self.retry_after_s is not None or self.failure is Failure.CREDENTIALS:
            return self.retry_after_s  # no patience helps against an account that is used up
        return _UNSAID_S.get(self.status)


class TargetTimeout(TargetUnavailable):
    """The target did not answer in time."""

    code = "upstream_timeout"

    def __init__(self, message: str, *, failure: Failure = Failure.TIMEOUT) -> None:
        super().__init__(message, status=504, failure=failure)


class TargetBroken(TargetError):
    """The target's stream ended before it was complete."""

    code = "upstream_stream_broken"

    def __init__(
        self, message: str, *, code: str | None = None, failure: Failure = Failure.BROKEN
    ) -> None:
        super().__init__(message, code=code)
        self.failure = failure


def unexpected() -> RouterError:
    """What a client hears of an error that nobody foresaw; the log has it whole."""
    return RouterError("An unexpected error; see the log.")


def anthropic_type(status: int) -> str:
    """The error ``type`` that Anthropic's API has for a status; its SDKs choose by it."""
    known = _ANTHROPIC_TYPES.get(status)
    return known or ("invalid_request_error" if status < 500 else "api_error")


def error_body(path: str, error: RouterError, request_id: str) -> dict[str, Any]:
    """An error as the API that ``path`` belongs to shapes it: Anthropic's, or else OpenAI's.

    ``code`` and ``param`` stay in Anthropic's shape too: more than its own has, and its SDKs
    ignore what they do not know.
    """
    body = error.body()
    if "error" not in body:
        return body
    if path != _ANTHROPIC_PATH and not path.startswith(_ANTHROPIC_PATH + "/"):
        return body
    body["error"]["type"] = anthropic_type(error.status)
    return {"type": "error", **body, "request_id": request_id}
