"""The admin plane from the router's port to the registry: bodies, scopes, pages, errors."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from router.admit.keys import hash_key
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System, whole_system

VERSIONS = "/admin/v1/adapters/returns/versions"
TAR = {"content-type": "application/x-tar"}
KIB = 1024
KEYS = [
    {"name": scope, "sha256": hash_key(scope), "scopes": [scope]}
    for scope in ("admin", "auditor", "reviewer", "inference")
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system that takes archives of 400 KiB; its router would take 600."""
    router = {"limits": {"max_archive_bytes": 600 * KIB}, "auth": {"keys": KEYS}}
    adapters = {"push": {"archive": {"max_archive_bytes": 400 * KIB}}}
    with whole_system(
        tmp_path_factory.mktemp("system"), router, replicas=1, adapters=adapters
    ) as started:
        yield started


def client(system: System, key: str = "admin") -> httpx.Client:
    """A client with the key of a scope."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=system.url, headers=headers, timeout=60, trust_env=False)


def in_pieces(size: int) -> Iterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(size // KIB):
        yield os.urandom(KIB)


def packed(directory: Path) -> bytes:
    """A tar of a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(directory, arcname="adapter")
    return buffer.getvalue()


@pytest.mark.parametrize("size", [500 * KIB, 3000 * KIB])
@pytest.mark.parametrize("declared", [True, False])
def test_a_push_over_the_limit_hears_413(system: System, size: int, declared: bool) -> None:
    """Over the registry's limit or the router's own, with a length or in pieces: never 503."""
    body = os.urandom(size) if declared else in_pieces(size)
    with client(system) as http:
        answer = http.post(VERSIONS, content=body, headers=TAR)
    assert answer.status_code == 413, answer.text
    assert answer.json()["error"]["code"] in {"archive_too_large", "request_too_large"}
    assert answer.headers["x-request-id"]


def test_a_form_over_the_limit_hears_413(system: System) -> None:
    """A form is counted as it comes."""
    with client(system) as http:
        answer = http.post(VERSIONS, files={"file": os.urandom(450 * KIB)})
    assert answer.status_code == 413, answer.text
    assert list((system.root / "incoming").iterdir()) == []


ALLOWED = {
    "admin": {"/admin/v1/adapters", "/admin/v1/replicas", "/admin/v1/usage"}
    | {"/admin/v1/decisions", "/metrics"},
    "auditor": {"/admin/v1/usage", "/admin/v1/decisions", "/metrics"},
    "reviewer": set[str](),
    "inference": {"/v1/models"},
}


@pytest.mark.parametrize("scope", ALLOWED)
def test_each_scope_sees_its_own(system: System, scope: str) -> None:
    """``admin`` all of the admin plane, ``auditor`` decisions and usage, others nothing of it."""
    with client(system, scope) as http:
        for path in sorted(set[str]().union(*ALLOWED.values())):
            answer = http.get(path)
            expected = 200 if path in ALLOWED[scope] else 403
            assert answer.status_code == expected, (path, answer.text)
            if expected == 403:
                assert answer.json()["error"]["code"] == "missing_scope"
        assert http.get("/healthz").status_code == 200


def test_lists_come_in_pages(system: System, tmp_path: Path) -> None:
    """``limit`` and ``cursor``: every row once, in order, and ``next`` is null at the end."""
    names = [f"page-{number}" for number in range(5)]
    with client(system) as http:
        for number, name in enumerate(names):
            archive = packed(tiny_adapter(tmp_path / name, number))
            path = f"/admin/v1/adapters/{name}/versions"
            assert http.post(path, content=archive, headers=TAR).status_code == 202
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = http.get("/admin/v1/adapters", params=query).json()
            assert page["object"] == "list"
            assert len(page["data"]) <= 2
            seen += [row["alias"] for row in page["data"]]
            cursor, pages = page["next"], pages + 1
        assert seen == sorted(set(seen))
        assert set(names) <= set(seen)
        for odd in ({"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"cursor": "?"}):
            answer = http.get("/admin/v1/adapters", params=odd)
            (param,) = odd
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_one_envelope_wherever_it_went_wrong(system: System) -> None:
    """The door's, the registry's and the books' errors have one shape and the request's id."""
    with client(system) as http:
        answers = [
            http.get("/admin/v1/nothing"),
            http.put("/admin/v1/usage"),
            http.get("/admin/v1/adapters/nobody"),
            http.get("/admin/v1/usage?by=colour"),
            http.get("/admin/v1/decisions?limit=x"),
            http.get("/admin/v1/decisions/dec_nobody"),
            http.post("/admin/v1/adapters/returns/promote", json={}),
            httpx.get(f"{system.url}/admin/v1/adapters"),
        ]
    assert [answer.status_code for answer in answers] == [404, 405, 404, 400, 400, 404, 400, 401]
    for answer in answers:
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"]
