"""An adapter's life from outside: pushed, refused, replaced, tried, rolled back, retired."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import httpx
import pytest

from tests.contract.client import (
    ADMIN,
    Pushed,
    archive,
    chat,
    error_of,
    move,
    post_version,
    push,
    until,
)
from tests.contract.client import said as said_by
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System


def state_of(http: httpx.Client, version: Pushed) -> str:
    """Where one version stands."""
    answer = http.get(f"{ADMIN}/adapters/{version.alias}/versions/{version.digest}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


def test_a_push_says_where_the_version_stands(ops: httpx.Client, app: httpx.Client) -> None:
    """201 when it serves; then the alias answers with it."""
    answer = post_version(ops, "fresh", archive(1))
    assert answer.status_code == 201, answer.text
    pushed = answer.json()
    assert pushed["alias"] == "fresh"
    assert pushed["state"] == "live"
    assert pushed["checks"]
    assert all(check["ok"] for check in pushed["checks"])
    assert said_by(chat(app, "fresh")) == f"I am fresh@{pushed['digest'][:12]}"


def test_a_push_that_nobody_waits_for(ops: httpx.Client) -> None:
    """202, or 201 when it was quick; then it comes up by itself."""
    answer = post_version(ops, "patient", archive(1), "stage=live")
    assert answer.status_code in {201, 202}
    version = Pushed("patient", answer.json()["digest"])
    until(lambda: state_of(ops, version) == "live")


def test_a_push_as_a_form(ops: httpx.Client) -> None:
    """Multipart, in the field ``file``."""
    answer = ops.post(
        f"{ADMIN}/adapters/form/versions?wait=live",
        files={"file": ("adapter.tar", archive(1), "application/x-tar")},
    )
    assert answer.status_code == 201, answer.text


def test_a_push_by_name_of_a_place(ops: httpx.Client, keyed: System) -> None:
    """``{"uri": …}`` names a directory in the watched store."""
    place = tiny_adapter(keyed.root / "adapters" / ".elsewhere" / "one", 1)
    answer = ops.post(
        f"{ADMIN}/adapters/placed/versions?wait=live", json={"uri": f"file://{place}"}
    )
    assert answer.status_code == 201, answer.text


def test_a_directory_in_the_watched_store(ops: httpx.Client, keyed: System) -> None:
    """Taken when ``_SUCCESS`` is in it."""
    place = tiny_adapter(keyed.root / "adapters" / "watched" / "run-1", 1)
    (place / "_SUCCESS").touch()
    until(lambda: ops.get(f"{ADMIN}/adapters/watched").status_code == 200)


def test_a_bad_version_is_refused_with_every_failed_check(
    ops: httpx.Client, app: httpx.Client
) -> None:
    """422, by name; the alias goes on with what it had."""
    good = push(ops, "careful", 1)
    answer = post_version(ops, "careful", archive(2, broken=True))
    assert answer.status_code == 422, answer.text
    assert "finite" in {check["name"] for check in answer.json()["checks"] if not check["ok"]}
    assert error_of(answer)
    assert said_by(chat(app, "careful")) == f"I am {good.name}"


@pytest.mark.parametrize("content", [b"", b"no archive", archive(1)[:700]])
def test_what_is_no_archive_is_refused(ops: httpx.Client, content: bytes) -> None:
    """400 or 422, never our own failure."""
    answer = post_version(ops, "nothing", content)
    assert answer.status_code in {400, 422}, answer.text
    assert error_of(answer)


def test_paths_that_lead_out_are_refused(ops: httpx.Client) -> None:
    """An archive cannot write anywhere else."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    answer = post_version(ops, "outside", packed.getvalue())
    assert answer.status_code in {400, 422}, answer.text


def test_known_bytes_do_nothing_when_they_are_where_they_should_be(ops: httpx.Client) -> None:
    """200, and nothing moves."""
    first = push(ops, "known", 1)
    answer = post_version(ops, "known", archive(1))
    assert answer.status_code == 200, answer.text
    assert answer.json()["digest"] == first.digest
    assert answer.json()["state"] == "live"


def test_rollback_is_one_step(ops: httpx.Client, app: httpx.Client) -> None:
    """The version before answers again."""
    first, second = push(ops, "stepping", 1), push(ops, "stepping", 2)
    answer = move(ops, "stepping", "rollback")
    assert answer.status_code == 200, answer.text
    assert answer.json()["digest"] == first.digest
    assert said_by(chat(app, "stepping")) == f"I am {first.name}"
    assert move(ops, "stepping", "promote", digest=second.digest).status_code == 200
    assert said_by(chat(app, "stepping")) == f"I am {second.name}"


def test_a_canary_gets_its_share_and_climbs(ops: httpx.Client, app: httpx.Client) -> None:
    """Half of the sessions, then all."""
    live = push(ops, "climbing", 1)
    answer = post_version(ops, "climbing", archive(2), "wait=live&stage=canary&percent=50")
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "canary"
    canary = Pushed("climbing", answer.json()["digest"])
    said = {
        said_by(chat(app, "climbing", headers={"x-graftwork-session": str(number)}))
        for number in range(40)
    }
    assert said == {f"I am {live.name}", f"I am {canary.name}"}
    assert move(ops, "climbing", "promote", digest=canary.digest).status_code == 200
    assert said_by(chat(app, "climbing")) == f"I am {canary.name}"


def test_a_shadow_answers_nobody(ops: httpx.Client, app: httpx.Client, keyed: System) -> None:
    """It is asked in secret."""
    live = push(ops, "shady", 1)
    answer = post_version(ops, "shady", archive(2), "wait=live&stage=shadow&percent=100")
    assert answer.json()["state"] == "shadow"
    shadow = Pushed("shady", answer.json()["digest"])
    assert said_by(chat(app, "shady")) == f"I am {live.name}"
    until(lambda: shadow.name in keyed.asked())


def test_a_retired_alias_is_no_model(ops: httpx.Client, app: httpx.Client) -> None:
    """It is not listed, and no version of it answers."""
    version = push(ops, "leaving", 1)
    assert move(ops, "leaving", "retire").status_code == 200
    assert not {"leaving", version.name} & {
        each["id"] for each in app.get("/v1/models").json()["data"]
    }
    assert chat(app, "leaving").headers["x-graftwork-target"] != version.target


def test_an_export_can_be_pushed_again(ops: httpx.Client) -> None:
    """A tar of a loadable PEFT directory, of the same content."""
    version = push(ops, "exported", 1)
    answer = ops.get(f"{ADMIN}/adapters/exported/versions/{version.digest}/export")
    assert answer.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names


@pytest.mark.parametrize("what", ["promote", "canary", "shadow", "rollback", "retire"])
def test_moves_of_what_is_not_there(ops: httpx.Client, what: str) -> None:
    """404."""
    body = {"digest": "0" * 64} if what == "promote" else {"digest": "0" * 64, "percent": 5}
    answer = move(ops, "nowhere", what, **({} if what in {"rollback", "retire"} else body))
    assert answer.status_code == 404, answer.text
    assert error_of(answer)


@pytest.mark.parametrize("alias", ["Big", "a b", "-x", "x" * 64, "a@b", ".."])
def test_an_alias_that_is_no_name(ops: httpx.Client, alias: str) -> None:
    """Refused before anything is stored."""
    answer = post_version(ops, alias, archive(1))
    assert answer.status_code in {400, 404, 422}, answer.text


def test_replicas_say_what_they_hold(ops: httpx.Client, keyed: System) -> None:
    """Each engine, with the versions on it."""
    version = push(ops, "held", 1)
    answer = ops.get(f"{ADMIN}/replicas")
    assert answer.status_code == 200
    found = answer.json().get("data") or answer.json()["replicas"]
    assert {each["id"] for each in found} == set(keyed.engines)
    assert all(version.name in each["resident"] for each in found)
    assert "secret" not in answer.text


def test_only_operators_may_move_adapters(app: httpx.Client, keyed: System) -> None:
    """An application's key is refused, and nothing happens."""
    for path in ("x/rollback", "x/promote", "x/retire", "x/versions"):
        answer = app.post(f"{ADMIN}/adapters/{path}", json={})
        assert answer.status_code == 403, path
        assert error_of(answer)
