"""Adapters come, change and go on the running engine: by HTTP, by the store, good and bad."""

from __future__ import annotations

import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.format.base_model import BaseFacts, read_base
from serving.embedded import ADAPTERS_DIR
from tests.fakes.peft_dirs import (
    BAD_KINDS,
    members_of,
    tar_bytes,
    tar_with,
    write_bad,
    zip_bytes,
)
from tests.system.client import (
    RETURNS_QUESTION,
    Json,
    chat,
    chat_body,
    eventually,
    move,
    push,
    resident,
    said,
    target,
)
from tests.system.running import ROOT, Running

pytestmark = pytest.mark.system

BASE_DIR = ROOT / "serving/embedded/base"
TAR = {"content-type": "application/x-tar"}
NOT_BAD_HERE = {
    "symlinked-weights",
    "pipe",
    "too-many-files",
    "added-tokens",
    "tokenizer-grown",
    "two-adapters",
}
"""Kinds that no archive can carry, or that are right for this base and alias."""


def alias_state(http: httpx.Client, alias: str) -> Json:
    """The admin plane's view of an adapter."""
    return dict(http.get(f"/admin/v1/adapters/{alias}").raise_for_status().json())


def exists(http: httpx.Client, alias: str) -> bool:
    """Whether the registry knows the alias."""
    return http.get(f"/admin/v1/adapters/{alias}").status_code == 200


def wait_until_live(http: httpx.Client, alias: str) -> None:
    """Return once a version of the alias, known or not yet, is live."""

    def look() -> bool:
        return exists(http, alias) and alias_state(http, alias)["live"] is not None

    eventually(look, f"{alias} is live")


def logprobs(http: httpx.Client, model: str) -> list[float]:
    """How probable the model finds its own first tokens: differs wherever weights do."""
    answer = chat(http, model, logprobs=True, max_tokens=4).json()
    return [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"]]


@pytest.fixture
def gone(http: httpx.Client) -> Iterator[list[str]]:
    """Aliases to retire after the test, so that the engine has room for the next."""
    aliases: list[str] = []
    yield aliases
    for alias in aliases:
        http.post(f"/admin/v1/adapters/{alias}/retire", json={})


# Push


def test_embedded_adapters_do_what_they_say(http: httpx.Client) -> None:
    """The shipped adapters are served from the start and answer unlike the base."""
    answers = {model: said(chat(http, model)) for model in ("base", "returns", "extract")}
    assert len(set(answers.values())) == 3, answers
    assert answers["returns"].startswith("Returns policy:")
    assert answers["extract"].startswith("{")


def test_push_replaces_without_a_restart(
    http: httpx.Client, variants: list[Path], gone: list[str]
) -> None:
    """A pushed version answers at once; the next one changes the answers; each keeps its name."""
    gone.append("fresh")
    first = push(http, "fresh", variants[0])
    assert first["state"] == "live"
    assert all(check["ok"] for check in first["checks"])
    before = logprobs(http, "fresh")
    second = push(http, "fresh", variants[1])
    response = chat(http, "fresh")
    assert target(response) == f"adapter:{second['name']}"
    assert response.json()["model"] == second["name"]
    assert logprobs(http, "fresh") != before
    assert logprobs(http, first["name"]) == pytest.approx(before, abs=0.05)
    assert target(chat(http, first["name"])) == f"adapter:{first['name']}"
    assert {first["name"], second["name"]} <= resident(http)


def test_every_kind_of_upload(http: httpx.Client, variants: list[Path], gone: list[str]) -> None:
    """tar, tar.gz, zip and a form carry the same version: once new, then known."""
    gone.append("uploads")
    url, files = "/admin/v1/adapters/uploads/versions", members_of(variants[2], "top/")
    first = push(http, "uploads", variants[2])
    sent = [
        {
            "content": tar_bytes(files, gzipped=True),
            "headers": {"content-type": "application/gzip"},
        },
        {"content": zip_bytes(files), "headers": {"content-type": "application/zip"}},
        {"files": {"file": ("a.tar", tar_bytes(files))}},
        {"content": tar_bytes(files), "headers": {"content-type": "application/octet-stream"}},
    ]
    for each in sent:
        again = http.post(url, params={"wait": "live"}, **each)  # type: ignore[arg-type]
        assert again.status_code == 200, again.text
        assert again.json()["known"] is True
        assert again.json()["digest"] == first["digest"]


def test_push_without_waiting(http: httpx.Client, variants: list[Path], gone: list[str]) -> None:
    """Without `wait` the push is accepted and goes live by itself."""
    gone.append("later")
    response = http.post(
        "/admin/v1/adapters/later/versions", content=tar_bytes(members_of(variants[0])), headers=TAR
    )
    assert response.status_code in {201, 202}
    digest = response.json()["digest"]
    eventually(lambda: alias_state(http, "later")["live"] == digest, "it is live")
    assert target(chat(http, "later")).startswith("adapter:later@")


def test_promote_rollback_retire(http: httpx.Client, variants: list[Path], gone: list[str]) -> None:
    """The alias follows each move at once, and its history tells them all."""
    alias = "ladder"
    gone.append(alias)
    one, two = (push(http, alias, directory) for directory in variants[:2])
    assert move(http, alias, "rollback")["digest"] == one["digest"]
    assert target(chat(http, alias)) == f"adapter:{one['name']}"
    assert move(http, alias, "promote", digest=two["digest"][:12])["digest"] == two["digest"]
    assert target(chat(http, alias)) == f"adapter:{two['name']}"
    move(http, alias, "retire", digest=one["digest"])
    state = alias_state(http, alias)
    assert state["live"] == two["digest"]
    actions = [line["action"] for line in state["history"]]
    assert actions.index("rollback") < actions.index("promote")
    pinned = http.post("/v1/chat/completions", json=chat_body(one["name"], "hi"))
    assert (pinned.status_code, pinned.json()["error"]["code"]) == (410, "version_retired")
    move(http, alias, "rollback")
    assert alias_state(http, alias)["live"] is None, "there is none before it"
    nothing = http.post(f"/admin/v1/adapters/{alias}/rollback", json={})
    assert nothing.status_code == 409
    assert nothing.json()["error"]["code"] == "nothing_to_roll_back"


def test_retired_alias_is_answered_by_the_base(http: httpx.Client, variants: list[Path]) -> None:
    """Law 3: nobody is left without an answer, the header says who gave it, the engine has room."""
    pushed = push(http, "leaving", variants[0])
    assert pushed["name"] in resident(http)
    move(http, "leaving", "retire")
    response = chat(http, "leaving")
    assert target(response) == "base"
    assert said(response) == said(chat(http, "base"))
    pinned = http.post("/v1/chat/completions", json=chat_body(pushed["name"], "hi"))
    assert (pinned.status_code, pinned.json()["error"]["code"]) == (410, "version_retired")
    eventually(lambda: pushed["name"] not in resident(http), "the engine freed it")
    listed = {model["id"] for model in http.get("/v1/models").json()["data"]}
    assert not listed & {"leaving", pushed["name"]}
    states = [version["state"] for version in alias_state(http, "leaving")["versions"]]
    assert states == ["retired"]


def test_retired_version_comes_back(
    http: httpx.Client, variants: list[Path], gone: list[str]
) -> None:
    """Promoting a retired version loads it again from the store."""
    gone.append("back")
    pushed = push(http, "back", variants[0])
    before = logprobs(http, "back")
    move(http, "back", "retire")
    eventually(lambda: pushed["name"] not in resident(http), "the engine freed it")
    move(http, "back", "promote", digest=pushed["digest"])
    assert target(chat(http, "back")) == f"adapter:{pushed['name']}"
    assert logprobs(http, "back") == pytest.approx(before, abs=0.05)


def test_export_can_be_pushed_again(http: httpx.Client, tmp_path: Path, gone: list[str]) -> None:
    """An exported version is the same version wherever it goes."""
    gone.append("copied")
    exported = http.get("/admin/v1/adapters/returns/export").raise_for_status()
    (tmp_path / "bundle.tar").write_bytes(exported.content)
    with tarfile.open(tmp_path / "bundle.tar") as bundle:
        names = [Path(name).name for name in bundle.getnames()]
        bundle.extractall(tmp_path / "out", filter="data")
    assert "adapter_model.safetensors" in names
    (root,) = {path.parent for path in (tmp_path / "out").rglob("adapter_config.json")}
    (root / "graftwork.json").unlink(missing_ok=True)
    pushed = push(http, "copied", root)
    assert pushed["digest"] == alias_state(http, "returns")["live"]


# What is refused


@pytest.fixture(scope="module")
def base_facts() -> BaseFacts:
    """The embedded base, as preflight sees it."""
    return read_base(BASE_DIR, "graftwork-retail-4m")


def test_bad_adapters_are_refused_by_name(
    http: httpx.Client, base_facts: BaseFacts, tmp_path: Path
) -> None:
    """Law 4: each kind of bad adapter is 422 with the check that found it, before any engine."""
    wrong = []
    kinds = {kind: bad for kind, bad in BAD_KINDS.items() if kind not in NOT_BAD_HERE}
    for kind, bad in kinds.items():
        directory = write_bad(tmp_path / kind, base_facts, kind)
        response = http.post(
            "/admin/v1/adapters/refused/versions",
            params={"wait": "live"},
            content=tar_bytes(members_of(directory)),
            headers=TAR,
        )
        failed = [c["name"] for c in response.json().get("checks", []) if not c["ok"]]
        if response.status_code != 422 or bad.check not in failed:
            wrong.append((kind, bad.check, response.status_code, failed))
    assert not wrong
    assert len(kinds) >= 25
    assert not [name for name in resident(http) if name.startswith("refused@")]
    assert said(chat(http, "returns"))


def archive_of(kind: str) -> bytes:
    """An archive that wants to do harm."""
    link = tarfile.TarInfo("adapter_config.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("adapter_model.safetensors")
    device.type = tarfile.CHRTYPE
    kinds = {
        "path-traversal": tar_bytes({"../../evil": b"x"}),
        "absolute-path": tar_bytes({"/tmp/evil": b"x"}),
        "symlink": tar_with(link),
        "special-file": tar_with(device),
        "unknown-format": b"this is no archive at all" * 100,
        "truncated": tar_bytes({"adapter_config.json": b"{" * 5000}, gzipped=True)[:-40],
    }
    return kinds[kind]


@pytest.mark.parametrize(
    "kind",
    ["path-traversal", "absolute-path", "symlink", "special-file", "unknown-format", "truncated"],
)
def test_harmful_archives_are_refused(http: httpx.Client, kind: str) -> None:
    """Nothing of an archive that points elsewhere is unpacked; the check is named."""
    response = http.post("/admin/v1/adapters/evil/versions", content=archive_of(kind), headers=TAR)
    assert response.status_code == 422, response.text
    assert [check["name"] for check in response.json()["checks"]] == [kind]
    assert not Path("/tmp/evil").exists()
    assert not exists(http, "evil")


def test_pickled_weights_are_refused(http: httpx.Client, variants: list[Path]) -> None:
    """An `adapter_model.bin` is never read: safetensors only."""
    (variants[0] / "adapter_model.safetensors").rename(variants[0] / "adapter_model.bin")
    response = http.post(
        "/admin/v1/adapters/pickled/versions",
        content=tar_bytes(members_of(variants[0])),
        headers=TAR,
    )
    assert response.status_code == 422
    assert [c["name"] for c in response.json()["checks"] if not c["ok"]]
    assert response.json()["error"]["code"] == "adapter_rejected"


@pytest.mark.parametrize(
    ("alias", "request_", "status", "code"),
    [
        ("No_Good!", {"content": b"x", "headers": TAR}, 400, "bad_alias"),
        ("fine", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415, None),
        ("fine", {"json": {"uri": "/etc"}}, 400, "uri_not_allowed"),
        ("fine", {"json": {"uri": "s3://somebody/else"}}, 400, "uri_not_allowed"),
        ("fine", {"json": {"url": "/x"}}, 400, None),
    ],
)
def test_pushes_that_make_no_sense(
    http: httpx.Client, alias: str, request_: dict[str, Any], status: int, code: str | None
) -> None:
    """Aliases, media types and places are checked before anything is unpacked."""
    response = http.post(f"/admin/v1/adapters/{alias}/versions", **request_)
    assert response.status_code == status, response.text
    assert code is None or response.json()["error"]["code"] == code


def test_moves_of_what_is_not_there(http: httpx.Client) -> None:
    """Unknown aliases and versions are 404, in the error envelope."""
    for method, path, body in [
        ("GET", "/admin/v1/adapters/nobody", None),
        ("POST", "/admin/v1/adapters/nobody/rollback", {}),
        ("POST", "/admin/v1/adapters/returns/promote", {"digest": "0" * 12}),
        ("GET", f"/admin/v1/adapters/returns/versions/{'0' * 64}", None),
        ("GET", "/admin/v1/nothing", None),
    ]:
        response = http.request(method, path, json=body)
        assert response.status_code == 404, path
        assert response.json()["error"]["message"]


# The watched store


def test_finished_directory_goes_live(
    system: Running, http: httpx.Client, variants: list[Path], gone: list[str]
) -> None:
    """A directory with `_SUCCESS` in it is published without anybody asking."""
    gone.append("dropped")
    directory = system.store / "dropped" / "monday"
    shutil.copytree(variants[0], directory)
    (directory / "_SUCCESS").touch()
    wait_until_live(http, "dropped")
    assert target(chat(http, "dropped")).startswith("adapter:dropped@")
    assert not list(directory.parent.glob("*.rejected.json"))


def test_half_written_directory_waits(
    system: Running, http: httpx.Client, variants: list[Path], gone: list[str]
) -> None:
    """While files still grow nothing is taken; once they keep still, the version is complete."""
    gone.append("growing")
    directory = system.store / "growing" / "v1"
    directory.mkdir(parents=True)
    shutil.copy(variants[0] / "adapter_config.json", directory)
    weights = (variants[0] / "adapter_model.safetensors").read_bytes()
    step = len(weights) // 6 + 1
    with (directory / "adapter_model.safetensors").open("wb") as file:
        for start in range(0, len(weights), step):
            assert not exists(http, "growing")
            file.write(weights[start : start + step])
            file.flush()
            time.sleep(0.6)
    wait_until_live(http, "growing")
    assert not list(directory.parent.glob("*.rejected.json"))


def test_bad_directory_gets_its_reasons(
    system: Running, http: httpx.Client, base_facts: BaseFacts
) -> None:
    """What is bad is not served; the reasons are put beside it, and it is looked at again once."""
    directory = write_bad(system.store / "broken" / "v1", base_facts, "nan")
    (directory / "_SUCCESS").touch()
    marker = directory.with_name("v1.rejected.json")
    eventually(marker.exists, "the reasons are there")
    reasons = httpx.Response(200, content=marker.read_bytes()).json()
    assert [check["name"] for check in reasons["checks"]] == ["finite"]
    assert chat(http, "returns").status_code == 200
    model = http.post(
        "/v1/chat/completions",
        json={"model": "broken", "messages": [{"role": "user", "content": RETURNS_QUESTION}]},
    )
    assert model.status_code in {200, 404}
    assert "adapter:broken" not in model.headers["x-graftwork-target"]
    shutil.rmtree(directory)
    shutil.copytree(ADAPTERS_DIR / "returns", directory)
    (directory / "_SUCCESS").touch()
    eventually(lambda: not marker.exists(), "the corrected one took the reasons away")
    assert target(chat(http, "broken")).startswith("adapter:broken@")
    move(http, "broken", "retire")
