"""One table from what can go wrong to what the client is told, always in OpenAI's envelope."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from adapters import errors
from adapters.errors import AdapterError, CheckResult

REJECTED = "adapter_rejected"


class BadRequest(AdapterError):
    """The request itself makes no sense; ``param`` names the part."""

    code = "bad-request"

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None) -> None:
        self.param = param
        super().__init__(message, code=code)


# The first class that fits decides, so the special come before the general.
_STATUS: tuple[tuple[type[AdapterError], int], ...] = (
    (BadRequest, 400),
    (errors.ArchiveError, 422),
    (errors.HeaderError, 422),
    (errors.ManifestError, 422),
    (errors.RejectedError, 422),
    (errors.BadName, 400),
    (errors.UnknownAlias, 404),
    (errors.UnknownVersion, 404),
    (errors.NotInStore, 409),
    (errors.StoreFull, 507),
    (errors.StoreError, 503),
    (errors.IllegalMove, 409),
    (errors.Conflict, 409),
    (errors.NothingToRollBack, 409),
    (errors.ProbeFailed, 422),
    (errors.RegistryError, 503),
    (errors.FleetError, 503),
)
_STATUS_BY_CODE = {
    "archive-too-large": 413,
    "bad-percent": 400,
    "unsupported-media-type": 415,
}


def install(app: FastAPI) -> None:
    """Answer everything that goes wrong in the app with the envelope."""
    app.add_exception_handler(AdapterError, _adapter_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def envelope(
    status: int, message: str, *, param: str | None = None, code: str | None = None, **more: Any
) -> JSONResponse:
    """The one error answer. ``code`` may be in kebab-case."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = code and code.replace("-", "_")
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {"Retry-After": "2"} if status == 503 else None
    return JSONResponse({"error": error, **more}, status, headers)


def status_of(error: AdapterError) -> int:
    """The status that an error is answered with."""
    if error.code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[error.code]
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def rejection(
    message: str, alias: str, digest: str, state: str, checks: list[dict[str, Any]]
) -> JSONResponse:
    """422 with every check."""
    return envelope(
        422, message, code=REJECTED, alias=alias, digest=digest, state=state, checks=checks
    )


async def _adapter_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AdapterError)
    status = status_of(error)
    message = f"{error} {error.remedy}".strip() if status < 500 else str(error)
    if status == 422:
        alias = request.path_params.get("alias", "")
        return rejection(message, alias, "", "rejected", _checks(error))
    param = getattr(error, "param", None) or ("alias" if error.code == "bad-alias" else None)
    return envelope(status, message, param=param, code=error.code)


def _checks(error: AdapterError) -> list[dict[str, Any]]:
    if isinstance(error, errors.RejectedError):
        return [check.model_dump(mode="json") for check in error.checks]
    check = CheckResult(name=error.code, ok=False, message=str(error))
    return [check.model_dump(mode="json")]


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"] if part not in {"body", "query", "path"}]
    param = ".".join(where) or None
    message = f"{param}: {problem['msg']}" if param else problem["msg"]
    return envelope(400, message, param=param, code="invalid_value")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = {
        404: f"no such path: {request.url.path}",
        405: f"{request.method} is not allowed on {request.url.path}",
    }.get(error.status_code, str(error.detail) or HTTPStatus(error.status_code).phrase)
    answer = envelope(error.status_code, message, code=codes.get(error.status_code))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return envelope(500, "internal error", code="internal_error")
