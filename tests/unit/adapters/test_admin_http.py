"""The admin door over ASGI: routes, statuses, the error envelope, uploads, bundles, events."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from adapters.admin.events import encode, sse
from adapters.admin.table import RESOURCES
from adapters.config import AdaptersConfig, PushSettings
from adapters.events import EventBus
from adapters.format.archive import ArchiveLimits, unpack
from adapters.format.manifest import CONTENT_FILES, PASSENGER_FILES, digest_directory
from adapters.registry.lifecycle import State
from adapters.resources import Resource
from adapters.traffic import VersionTraffic
from router.docs import resources
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.admin_app import registry_admin
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE, tiny_adapter
from tests.fakes.trainers import TRAINERS

VERSIONS = "/admin/v1/adapters/returns/versions"
TAR = {"content-type": "application/x-tar"}


class Door:
    """The admin app, its client and the path behind it."""

    def __init__(self, path: AdapterPath, imports: Path) -> None:
        self.path = path
        push = PushSettings(
            archive=ArchiveLimits(max_archive_bytes=100_000), import_roots=(imports,)
        )
        config = AdaptersConfig(store=str(path.root / "watched"), push=push, rollout=FAST)
        app: Any = registry_admin(
            path, lambda: [{"id": "r0", "resident": sorted(path.fleet.holding("r0"))}], config
        )
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://admin")

    async def push(self, seed: int, **query: str | float) -> httpx.Response:
        """Push a version and let everything that follows happen."""
        body = packed(self.path.adapter(seed))
        answer = await self.http.post(
            VERSIONS, content=body, headers=TAR, params={"wait": "live", **query}
        )
        await self.path.idle()
        return answer

    async def post(self, verb: str, body: Any = None) -> httpx.Response:
        """POST one of the alias's moves."""
        answer = await self.http.post(f"/admin/v1/adapters/returns/{verb}", json=body or {})
        await self.path.idle()
        return answer


def packed(directory: Path, mode: str = "w") -> bytes:
    """A tar of a directory's files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        tar.add(directory, arcname="adapter")
    return buffer.getvalue()


def zipped(directory: Path) -> bytes:
    """A zip of a directory's files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in directory.iterdir():
            archive.write(file, file.name)
    return buffer.getvalue()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """The door over a fresh path with one replica."""
    path = AdapterPath(tmp_path / "state", FakeFleet("r0"))
    made = Door(path, tmp_path / "imports")
    yield made
    await made.http.aclose()
    await path.aclose()


def assert_error(answer: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    """OpenAI's envelope, whole, with a message for a person."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["", "/returns", "/returns/versions/{digest}"])
async def test_what_is_told_of_versions_is_what_routers_go_by(door: Door, path: str) -> None:
    """Whoever sees that one is live asks for it next: the answer waits for late routers."""
    digest = (await door.push(1)).json()["digest"]
    fleet, may_know, waits = door.path.fleet, asyncio.Event(), asyncio.Event()
    applied = fleet.routers_applied

    async def late(epoch: int, timeout_s: float) -> bool:
        waits.set()
        await may_know.wait()
        return await applied(epoch, timeout_s)

    fleet.routers_applied = late  # type: ignore[method-assign]
    asking = asyncio.create_task(door.http.get(f"/admin/v1/adapters{path.format(digest=digest)}"))
    async with asyncio.timeout(60):
        await waits.wait()
    assert not asking.done()
    may_know.set()
    answer = await asking
    assert answer.status_code == 200
    assert digest in answer.text


# Pushing


async def test_a_push_that_waits_is_created(door: Door) -> None:
    """201 with alias, digest, state and every check."""
    answer = await door.push(1)
    body = answer.json()
    assert answer.status_code == 201
    assert (body["alias"], body["digest"]) == ("returns", door.path.digest(1))
    assert (body["state"], body["known"]) == ("live", False)
    assert body["name"] == f"returns@{door.path.digest(1)[:12]}"
    assert all(check["ok"] for check in body["checks"])


async def test_a_push_that_does_not_wait_is_accepted(door: Door) -> None:
    """202 while the engines work; later it is live."""
    door.path.fleet.load_s = 0.05
    answer = await door.http.post(VERSIONS, content=packed(door.path.adapter(1)), headers=TAR)
    assert answer.status_code == 202
    assert answer.json()["state"] in {"stored", "preparing"}
    await door.path.idle()
    answer = await door.http.get("/admin/v1/adapters/returns")
    assert answer.json()["live"] == door.path.digest(1)


async def test_known_bytes_are_ok(door: Door) -> None:
    """200 with the version that exists."""
    first = await door.push(1)
    again = await door.push(1)
    assert (again.status_code, again.json()["known"]) == (200, True)
    assert again.json()["digest"] == first.json()["digest"]


async def test_every_form_of_upload_gives_the_same_version(door: Door, tmp_path: Path) -> None:
    """Tar, compressed tar, zip, form and reference are ways to send one content."""
    directory = door.path.adapter(1)
    tiny_adapter(tmp_path / "imports" / "mine", 1)
    (tmp_path / "imports" / "mine.tar").write_bytes(packed(directory))
    requests: list[dict[str, Any]] = [
        {"content": packed(directory), "headers": TAR},
        {"content": packed(directory, "w:gz"), "headers": {"content-type": "application/gzip"}},
        {"content": zipped(directory), "headers": {"content-type": "application/zip"}},
        {"files": {"file": ("a.tar", packed(directory), "application/x-tar")}},
        {"json": {"uri": str(tmp_path / "imports" / "mine")}},
        {"json": {"uri": (tmp_path / "imports" / "mine.tar").as_uri()}},
    ]
    answers = [await door.http.post(VERSIONS, **request) for request in requests]
    assert [answer.status_code for answer in answers] == [202, 200, 200, 200, 200, 200]
    assert {answer.json()["state"] for answer in answers[1:]} == {"live"}
    assert {answer.json()["digest"] for answer in answers} == {door.path.digest(1)}
    await door.path.idle()


async def test_a_bad_adapter_is_refused_with_every_check(door: Door, tmp_path: Path) -> None:
    """422 ``adapter_rejected``, the failed ones by name with what was found and expected."""
    bad = packed(tiny_adapter(tmp_path / "bad", 1, broken=True))
    answer = await door.http.post(VERSIONS, content=bad, headers=TAR)
    assert_error(answer, 422, "adapter_rejected")
    body = answer.json()
    assert (body["alias"], body["state"]) == ("returns", "rejected")
    assert len(body["digest"]) == 64
    failed = [check for check in body["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == ["finite"]
    assert all(failed[0][key] for key in ("found", "expected", "message"))
    assert len(body["checks"]) > 20


async def test_an_adapter_that_fails_in_the_engine_is_refused_alike(door: Door) -> None:
    """422 also when only the probe noticed."""
    door.path.fleet.delta = 0.0
    answer = await door.push(1)
    assert_error(answer, 422, "adapter_rejected")
    assert answer.json()["state"] == "quarantined"
    assert_error(await door.push(1), 422, "adapter_rejected")


async def test_a_publish_that_failed_says_try_again(door: Door) -> None:
    """503 with the state, and when to come back."""
    door.path.fleet.engines.clear()
    answer = await door.push(1)
    assert_error(answer, 503, "publish_failed")
    assert answer.json()["state"] == "failed"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("content", "check"),
    [
        (b"", "unknown-format"),
        (b"not an archive", "unknown-format"),
        (b"\x1f\x8b\x08\x00garbage", "corrupt"),
        (b"PK\x03\x04garbage", "corrupt"),
    ],
)
async def test_a_broken_archive_is_refused_by_name(door: Door, content: bytes, check: str) -> None:
    """422 like any bad adapter, with one check that names the trouble."""
    answer = await door.http.post(VERSIONS, content=content, headers=TAR)
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"]["code"] == "adapter_rejected"
    assert [c["ok"] for c in body["checks"]] == [False]
    assert body["checks"][0]["name"] in {check, "truncated"}


async def test_an_archive_without_weights_is_refused_with_checks(door: Door) -> None:
    """Even without a digest there is a whole report."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("README.md"))
    answer = await door.http.post(VERSIONS, content=buffer.getvalue(), headers=TAR)
    assert_error(answer, 422, "adapter_rejected")
    assert "files-present" in [c["name"] for c in answer.json()["checks"] if not c["ok"]]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_cut_off(door: Door, declared: bool) -> None:
    """413, by the declared length at once and by counting otherwise."""
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b"0" * 10_000

    headers = {**TAR, "content-length": "10000000"} if declared else TAR
    answer = await door.http.post(VERSIONS, content=body(), headers=headers)
    assert_error(answer, 413, "archive_too_large")


async def test_a_form_over_the_limit_is_cut_off(door: Door) -> None:
    """The limit holds for forms, whose parts would otherwise spool to the disk."""
    answer = await door.http.post(VERSIONS, files={"file": b"0" * 300_000})
    assert_error(answer, 413, "archive_too_large")


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        ({"files": {"other": b"x"}}, "bad_request", "file"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}},
         "bad_request", "file"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "invalid_value", None),
        ({"json": {"url": "/x"}}, "invalid_value", "uri"),
        ({"json": {"uri": "/etc"}}, "uri_not_allowed", "uri"),
        ({"json": {"uri": "s3://elsewhere/returns/v1"}}, "uri_not_allowed", "uri"),
        ({"json": {"uri": "http://169.254.169.254/latest"}}, "uri_not_allowed", "uri"),
    ],
)  # fmt: skip
async def test_a_body_that_makes_no_sense(
    door: Door, request_: dict[str, Any], code: str, param: str | None
) -> None:
    """400 that names the part; nothing outside the configured places is read."""
    assert_error(await door.http.post(VERSIONS, **request_), 400, code, param)


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}])
async def test_a_content_type_that_is_no_archive(door: Door, headers: dict[str, str]) -> None:
    """415 that says what may be sent."""
    answer = await door.http.post(VERSIONS, content=b"x", headers=headers)
    assert_error(answer, 415, "unsupported_media_type", "content-type")


async def test_a_reference_cannot_leave_its_root(door: Door, tmp_path: Path) -> None:
    """Neither by dots nor through a link inside an allowed root."""
    tiny_adapter(tmp_path / "secret", 1)
    (tmp_path / "imports").mkdir()
    (tmp_path / "imports" / "link").symlink_to(tmp_path / "secret")
    for uri in ("imports/../secret", "imports/link", "imports"):
        answer = await door.http.post(VERSIONS, json={"uri": str(tmp_path / uri)})
        assert_error(answer, 400, "uri_not_allowed", "uri")


async def test_a_file_that_is_too_large_is_not_copied_first(door: Door, tmp_path: Path) -> None:
    """One of a tebibyte, which no disk here has room for."""
    (tmp_path / "imports").mkdir()
    large = tmp_path / "imports" / "large.tar"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    answer = await door.http.post(VERSIONS, json={"uri": str(large)})
    assert answer.status_code == 413
    assert list((door.path.root / "incoming").iterdir()) == []


async def test_the_watched_store_may_be_named(door: Door) -> None:
    """A directory in it can be pushed by reference, links in it cannot."""
    directory = tiny_adapter(door.path.root / "watched" / "returns" / "v1", 1)
    answer = await door.http.post(VERSIONS, json={"uri": str(directory)})
    assert answer.status_code == 202
    (directory / "README.md").symlink_to("/etc/passwd")
    answer = await door.http.post(VERSIONS, json={"uri": str(directory)})
    assert answer.status_code == 422
    assert answer.json()["checks"][0]["name"] == "special-file"
    await door.path.idle()


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"stage": "everywhere"}, "stage"),
        ({"percent": "101"}, "percent"),
        ({"percent": "some"}, "percent"),
        ({"wait": "forever"}, "wait"),
    ],
)
async def test_a_query_that_makes_no_sense(door: Door, query: dict[str, str], param: str) -> None:
    """400 that names the parameter."""
    answer = await door.http.post(VERSIONS, content=b"", headers=TAR, params=query)
    assert_error(answer, 400, "invalid_value", param)


async def test_a_canary_needs_a_share_that_is_one(door: Door) -> None:
    """``stage=canary`` with 0 ``percent`` is refused before anything is stored."""
    answer = await door.http.post(
        VERSIONS,
        content=packed(door.path.adapter(1)),
        headers=TAR,
        params={"stage": "canary", "percent": 0},
    )
    assert_error(answer, 400, "bad_percent")
    assert_error(await door.http.get("/admin/v1/adapters/returns"), 404, "unknown_alias")


@pytest.mark.parametrize("alias", ["UPPER", "a b", "-x"])
async def test_a_bad_alias_is_refused(door: Door, alias: str) -> None:
    """400 with the grammar in the message, before the body is read."""
    answer = await door.http.post(f"/admin/v1/adapters/{alias}/versions", content=b"x", headers=TAR)
    assert_error(answer, 400, "bad_alias", "alias")


async def test_who_pushed_is_recorded(door: Door) -> None:
    """The actor that the router established is in the version and in the history."""
    await door.http.post(
        VERSIONS,
        content=packed(door.path.adapter(1)),
        headers={**TAR, "x-graftwork-actor": "alice"},
    )
    await door.path.idle()
    version = door.path.registry.version("returns", door.path.digest(1))
    assert version.author == "alice"
    assert "alice" in {line.actor for line in door.path.registry.history()}


# Looking


async def test_an_alias_shows_what_the_contract_says(door: Door) -> None:
    """Live, previous, versions with digest and state, candidates, history."""
    await door.push(1)
    await door.push(2)
    await door.push(3, stage="canary", percent=5)
    body = (await door.http.get("/admin/v1/adapters/returns")).json()
    digests = [door.path.digest(seed) for seed in (1, 2, 3)]
    assert (body["live"], body["previous"]) == (digests[1], digests[0])
    assert [(v["digest"], v["state"]) for v in body["versions"]] == [
        (digests[0], "superseded"),
        (digests[1], "live"),
        (digests[2], "canary"),
    ]
    assert body["candidates"] == [{"digest": digests[2], "stage": "canary", "percent": 5.0}]
    assert [line["action"] for line in body["history"]].count("commit") == 2
    listed = (await door.http.get("/admin/v1/adapters")).json()
    assert [each["alias"] for each in listed["data"]] == ["returns"]
    assert listed["epoch"] == door.path.registry.epoch()


async def test_a_version_is_found_by_its_first_digits(door: Door) -> None:
    """Full digest, first twelve, or pinned name: one answer with manifest and checks."""
    await door.push(1)
    digest = door.path.digest(1)
    door.path.fleet.requests[f"returns@{digest[:12]}"] = 3
    door.path.fleet.traffic[f"returns@{digest[:12]}"] = VersionTraffic(
        requests=9, errors=1, shadowed=4, agreement=3.0
    )
    answers = [
        (await door.http.get(f"{VERSIONS}/{reference}")).json()
        for reference in (digest, digest[:12], f"returns@{digest[:12]}")
    ]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["in_flight"], answers[0]["effect"]) == (3, 0.5)
    assert answers[0]["traffic"] == {
        "requests": 9,
        "errors": 1,
        "shadowed": 4,
        "agreement": 0.75,
    }
    assert answers[0]["manifest"]["rank"] == 2


async def test_what_is_not_there(door: Door) -> None:
    """404 for alias and version, each with its code."""
    assert_error(await door.http.get("/admin/v1/adapters/nobody"), 404, "unknown_alias")
    await door.push(1)
    assert_error(await door.http.get(f"{VERSIONS}/{'f' * 64}"), 404, "unknown_version")
    assert_error(await door.http.get("/admin/v1/adapters/nobody/export"), 404, "unknown_alias")


async def test_wrong_paths_and_methods(door: Door) -> None:
    """404 and 405 in the envelope, with the allowed method named."""
    assert_error(await door.http.get("/admin/v1/nothing"), 404, "not_found")
    answer = await door.http.delete("/admin/v1/adapters/returns")
    assert_error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


async def test_replicas_are_shown_as_they_are(door: Door) -> None:
    """True residency, as whoever knows says it."""
    await door.push(1)
    body = (await door.http.get("/admin/v1/replicas")).json()
    assert body == {
        "object": "list",
        "data": [{"id": "r0", "resident": [f"returns@{door.path.digest(1)[:12]}"]}],
        "next": None,
    }


async def test_an_unforeseen_error_shows_nothing_of_itself(door: Door) -> None:
    """500 in the envelope, without the exception's text."""

    def broken() -> list[dict[str, Any]]:
        raise ZeroDivisionError("secret")

    app: Any = registry_admin(door.path, broken)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as http:
        answer = await http.get("/admin/v1/replicas")
    assert_error(answer, 500, "internal_error")
    assert "secret" not in answer.text


# Moving


async def test_the_ladder_by_hand(door: Door) -> None:
    """Shadow, canary, promote, rollback, retire: each says where the version stands."""
    await door.push(1)
    await door.push(2, stage="shadow", percent=10)
    second = door.path.digest(2)
    canary = await door.post("canary", {"digest": second[:12], "percent": 5})
    assert (canary.status_code, canary.json()["state"]) == (200, "canary")
    assert (await door.post("promote", {"digest": second})).json()["state"] == "live"
    back = await door.post("rollback")
    assert (back.json()["digest"], back.json()["state"]) == (door.path.digest(1), "live")
    retired = await door.post("retire", {"digest": second})
    assert [v["digest"] for v in retired.json()["versions"]] == [second]
    assert door.path.registry.version("returns", second).state is State.RETIRED
    shadow = await door.post("shadow", {"digest": second, "percent": 50})
    assert shadow.json()["state"] == "shadow"


async def test_a_rollback_may_have_no_body(door: Door) -> None:
    """``POST …/rollback`` works with an empty body and with ``{}``."""
    await door.push(1)
    await door.push(2)
    answer = await door.http.post("/admin/v1/adapters/returns/rollback")
    assert answer.json()["digest"] == door.path.digest(1)


async def test_moves_that_cannot_be(door: Door) -> None:
    """409 with a code for a program and a sentence for a person."""
    await door.push(1)
    first = door.path.digest(1)
    assert_error(await door.post("canary", {"digest": first, "percent": 5}), 409, "illegal_move")
    await door.post("retire")
    assert_error(await door.post("rollback"), 409, "nothing_to_roll_back")
    answer = await door.http.get("/admin/v1/adapters/returns/export")
    assert_error(answer, 409, "no_live_version")


@pytest.mark.parametrize(
    ("verb", "body", "param"),
    [
        ("promote", {}, "digest"),
        ("promote", {"digest": "short"}, "digest"),
        ("promote", {"digest": 7}, "digest"),
        ("canary", {"digest": "f" * 64}, "percent"),
        ("canary", {"digest": "f" * 64, "percent": 0}, "percent"),
        ("shadow", {"digest": "f" * 64, "percent": "all"}, "percent"),
        ("retire", {"digset": "f" * 64}, "digset"),
    ],
)
async def test_a_move_that_makes_no_sense(
    door: Door, verb: str, body: dict[str, Any], param: str
) -> None:
    """400 that names the field, typos included."""
    assert_error(await door.post(verb, body), 400, "invalid_value", param)


async def test_malformed_json(door: Door) -> None:
    """400, not a stack trace."""
    answer = await door.http.post(
        "/admin/v1/adapters/returns/promote",
        content=b"{",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"


# Exporting


async def test_an_export_can_be_pushed_elsewhere(door: Door, tmp_path: Path) -> None:
    """The bundle is a PEFT directory with its manifest and a card: same content, same digest."""
    await door.push(1)
    digest = door.path.digest(1)
    live = await door.http.get("/admin/v1/adapters/returns/export")
    pinned = await door.http.get(f"{VERSIONS}/{digest[:12]}/export")
    assert live.content == pinned.content, "the same version gives the same bytes"
    assert live.headers["content-disposition"] == (
        f'attachment; filename="returns@{digest[:12]}.tar.gz"'
    )
    (tmp_path / "bundle.tar").write_bytes(live.content)
    directory = unpack(tmp_path / "bundle.tar", tmp_path / "unpacked")
    assert digest_directory(directory) == digest
    assert {file.name for file in directory.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "graftwork.json",
    }
    assert digest in (directory / "README.md").read_text()
    again = await door.http.post(VERSIONS, content=live.content, headers=TAR)
    assert (again.status_code, again.json()["known"]) == (200, True)


# Following


async def test_events_are_followed_and_resumed() -> None:
    """What was missed first, then what happens; a comment when nothing does."""
    bus = EventBus()
    bus.emit("version-received", "returns", "d" * 64, state="received")
    bus.emit("alias-changed", "returns", epoch=1)
    stream = sse(bus, after=1, heartbeat_s=0.02, detail=True)
    assert await anext(stream) == b": connected\n\n"
    assert b"event: alias-changed\n" in await anext(stream)
    assert await anext(stream) == b": heartbeat\n\n"
    bus.emit("version-moved", "returns", "d" * 64, state="live")
    while (piece := await anext(stream)) == b": heartbeat\n\n":
        pass
    assert piece.startswith(b"id: 3\nevent: version\ndata: {")
    await stream.aclose()


async def test_who_does_not_ask_for_details_hears_of_objects_only() -> None:
    """An alias, a copy or a job is none; a heartbeat comes all the same while they change."""
    bus = EventBus()
    bus.emit("alias-changed", "returns", "d" * 64, epoch=1)
    bus.emit("version-moved", "returns", "d" * 64, state="live")
    bus.emit("job-failed", job="reconcile")
    stream = sse(bus, after=0, heartbeat_s=0.05)
    assert await anext(stream) == b": connected\n\n"
    assert (await anext(stream)).startswith(b"id: 2\nevent: version\ndata: {")

    async def failing() -> None:
        while True:
            bus.emit("job-failed", job="reconcile")
            await asyncio.sleep(0.005)

    others = asyncio.create_task(failing())
    async with asyncio.timeout(60):
        assert await anext(stream) == b": heartbeat\n\n"
    others.cancel()
    await stream.aclose()


async def test_decisions_push_out_nothing_else() -> None:
    """There is one for each request: what happens to versions is remembered all the same."""
    heard: list[str] = []
    bus = EventBus(listener=lambda event: heard.append(event.kind))
    bus.emit("version-moved", "returns", "d" * 64, state="live")
    for number in range(2000):
        bus.emit("decision", id=f"dec_{number}", state="answered")
    kinds = [event.kind for event in bus.since(0)]
    assert kinds.count("version-moved") == 1
    assert 1 < len(kinds) < 1000
    assert heard == ["version-moved"]


async def test_the_stream_ends_when_the_server_does(door: Door) -> None:
    """Followers do not keep a process from stopping."""
    door.path.events.emit("one")
    asyncio.get_running_loop().call_later(0.05, door.path.events.close)
    answer = await door.http.get("/admin/v1/events", params={"after": 0, "detail": "true"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: one" in answer.text


async def test_a_follower_that_fell_behind_is_told(door: Door) -> None:
    """The ring forgets; it says that it did."""
    bus = EventBus(capacity=3)
    for number in range(10):
        bus.emit("tick", n=number)
    kinds = [event.kind for event in bus.since(2)]
    assert kinds == ["gap", "tick", "tick", "tick"]
    assert [event.seq for event in bus.since(8)] == [9, 10]


async def test_many_followers_see_the_same(door: Door) -> None:
    """Also when events come from another thread."""
    bus = EventBus()

    async def first_three() -> list[int]:
        seen = []
        async for event in bus.follow(0):
            seen.append(event.seq)
            if len(seen) == 3:
                break
        return seen

    followers = [asyncio.create_task(first_three()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.to_thread(lambda: [bus.emit("tick") for _ in range(3)])
    assert await asyncio.gather(*followers) == [[1, 2, 3]] * 3


async def test_a_number_from_before_a_restart_replays() -> None:
    """A client that reconnects to a new process misses nothing that process knows."""
    bus = EventBus()
    bus.emit("one")
    assert (await anext(bus.follow(after=500))).kind == "one"


def test_an_event_is_one_line_on_the_wire() -> None:
    """Whatever text an event carries, it cannot forge another event."""
    event = EventBus().emit("watch-failed", error="a\n\nevent: forged\ndata: {}")
    wire = encode(event)
    assert wire.count(b"\n") == 4
    assert json.loads(wire.split(b"data: ", 1)[1])["error"].startswith("a\n")


# The reference


async def test_the_api_reference_is_complete() -> None:
    """Every route of the contract is documented, with its error answers."""
    rows: list[Resource[Any]] = [*RESOURCES]
    served = {row.path: row.handler for row in resources(rows)}
    request = Request({"type": "http", "method": "GET", "headers": []})
    document = await served["/admin/v1/openapi.json"](None, request)
    spec = json.loads(bytes(document.body))
    one = "/admin/v1/adapters/{alias}"
    assert set(spec["paths"]) == {
        "/admin/v1/adapters",
        one,
        f"{one}/versions",
        f"{one}/versions/{{digest}}",
        f"{one}/versions/{{digest}}/export",
        f"{one}/export",
        f"{one}/promote",
        f"{one}/canary",
        f"{one}/shadow",
        f"{one}/rollback",
        f"{one}/retire",
        "/admin/v1/replicas",
        "/admin/v1/events",
        "/admin/v1/gc",
    }
    push = spec["paths"][f"{one}/versions"]["post"]
    assert {"200", "201", "202", "413", "429", "422", "503"} <= set(push["responses"])
    assert "multipart/form-data" in push["requestBody"]["content"]
    assert "ErrorAnswer" in spec["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(push)
    page = await served["/admin/v1/docs"](None, request)
    assert f"{one}/versions" in bytes(page.body).decode()


# What trainers write


@pytest.mark.parametrize("trainer", TRAINERS)
async def test_a_trainers_folder_is_live_by_every_way(
    door: Door, trainer: str, tmp_path: Path
) -> None:
    """As an archive, a form's file or a server's directory: one content, nothing else kept."""
    folder = tmp_path / "imports" / "run"
    root = TRAINERS[trainer](folder, BASE)
    digest = digest_directory(folder / root)
    archive = packed(folder, "w:gz")
    pushes: tuple[dict[str, Any], ...] = (
        {"content": archive, "headers": {"content-type": "application/gzip"}},
        {"files": {"file": ("run.tgz", archive)}},
        {"json": {"uri": str(folder)}},
    )
    for status, push in zip((201, 200, 200), pushes, strict=True):
        answer = await door.http.post(VERSIONS, params={"wait": "live"}, **push)
        await door.path.idle()
        assert (answer.status_code, answer.json().get("digest")) == (status, digest), answer.text
    stored = {path.name for path in door.path.store.files("returns", digest).path.iterdir()}
    assert stored <= {*CONTENT_FILES, *PASSENGER_FILES, "graftwork.json"}


async def test_a_folder_that_is_not_clear_is_answered_with_every_name(
    door: Door, tmp_path: Path
) -> None:
    """Eight adapters and nine odd files: none is left out of the answer, and no path is in it."""
    for number in range(8):
        tiny_adapter(tmp_path / "many" / f"run{number}", number)
    answer = await door.http.post(VERSIONS, content=packed(tmp_path / "many"), headers=TAR)
    assert answer.status_code == 422
    assert all(f"run{number}" in answer.text for number in range(8))
    odd = tiny_adapter(tmp_path / "odd")
    for number in range(9):
        (odd / f"part{number}.safetensors").touch()
    answer = await door.http.post(VERSIONS, content=packed(odd), headers=TAR)
    (check,) = [each for each in answer.json()["checks"] if not each["ok"]]
    assert sorted(check["items"]) == [f"part{number}.safetensors" for number in range(9)]
    assert "/tmp" not in answer.text
    assert str(tmp_path) not in answer.text


# How much at once


async def test_pushes_at_once_are_bounded(door: Door) -> None:
    """One more than may be under way hears 429 with a time, at once; a finished one makes room."""
    go, arrived = asyncio.Event(), asyncio.Event()
    limit = door.path.config.push.at_once

    async def slow() -> AsyncIterator[bytes]:
        arrived.set()
        await go.wait()
        yield b"x"

    held = []
    for _ in range(limit):
        arrived.clear()
        held.append(asyncio.create_task(door.http.post(VERSIONS, content=slow(), headers=TAR)))
        await arrived.wait()
    refused = await door.http.post(VERSIONS, content=b"x", headers=TAR)
    assert_error(refused, 429, "too_many_pushes")
    assert refused.headers["retry-after"]
    go.set()
    assert {answer.status_code for answer in await asyncio.gather(*held)} == {422}
    assert (await door.push(1)).status_code == 201
    assert list((door.path.root / "incoming").iterdir()) == []


async def test_an_upload_that_stalls_is_given_up(tmp_path: Path) -> None:
    """408 after the longest pause, and its place and its files are free again."""
    path = AdapterPath(tmp_path / "state", FakeFleet("r0"))
    config = AdaptersConfig(push=PushSettings(idle_timeout_s=0.05))
    transport = httpx.ASGITransport(registry_admin(path, config=config))

    async def stalls() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as http:
        answer = await http.post(VERSIONS, content=stalls(), headers=TAR)
    await path.aclose()
    assert_error(answer, 408, "upload_too_slow")
    assert list((path.root / "incoming").iterdir()) == []
