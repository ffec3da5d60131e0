"""The audit resource from outside: records, checkpoints, proofs, and what a change looks like."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.contract.client import ADMIN, Pushed, chat, client
from tests.fakes.whole_system import System

AUDIT = f"{ADMIN}/audit"
FIELDS = {
    "writer",
    "sequence",
    "time",
    "kind",
    "request_id",
    "decision_id",
    "actor",
    "commitment",
    "prev",
    "hash",
}


@pytest.fixture(scope="module")
def auditor(keyed: System) -> Iterator[httpx.Client]:
    """Whoever looks, and may not change anything."""
    with client(keyed, "auditor") as found:
        yield found


def get(http: httpx.Client, path: str = "", **query: Any) -> dict[str, Any]:
    """A JSON answer below the resource."""
    answer = http.get(f"{AUDIT}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def node(left: str, right: str) -> str:
    """RFC 6962's hash of a node."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def led_to(proof: dict[str, Any]) -> str:
    """The root that a proof leads to, by RFC 9162, 2.1.3.2."""
    found, at, last = proof["leaf_hash"], proof["leaf_index"], proof["tree_size"] - 1
    for step in proof["path"]:
        if at & 1 or at == last:
            found = node(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, step)
        at, last = at >> 1, last >> 1
    assert last == 0
    return str(found)


def test_a_request_has_two_records_and_its_person_no_name(
    auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """Found by the name that the client gave, oldest first, with every field of the contract."""
    answer = chat(app, "returns", headers={"x-graftwork-subject": "Ada Lovelace"})
    assert answer.status_code == 200
    found = get(auditor, subject="Ada Lovelace")["data"]
    assert [each["kind"] for each in found] == ["request.begin", "request.end"]
    assert {each["request_id"] for each in found} == {answer.headers["x-request-id"]}
    assert {each["decision_id"] for each in found} == {answer.headers["x-graftwork-decision-id"]}
    assert all(each.keys() >= FIELDS for each in found)
    assert found[1]["commitment"] is not None
    assert "Lovelace" not in json.dumps(found)
    assert get(auditor, subject="Ada")["data"] == []
    for each in found:
        rest = {name: value for name, value in each.items() if name != "hash"}
        assert hashlib.sha256(b"\0" + rfc8785.dumps(rest)).hexdigest() == each["hash"]


def test_pages_go_from_the_oldest_to_the_newest_and_miss_nothing(
    auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """Over writers; `kind` and `since` narrow it."""
    for _ in range(3):
        chat(app, "returns")
    whole, cursor = [], None
    while True:
        page = get(auditor, limit=7, **({} if cursor is None else {"cursor": cursor}))
        assert page["object"] == "list"
        whole += page["data"]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["data"]) == 7
    at_once = get(auditor, limit=1000)["data"]
    assert whole == at_once[: len(whole)]
    assert len({(each["writer"], each["sequence"]) for each in whole}) == len(whole)
    assert [each["time"] for each in whole] == sorted(each["time"] for each in whole)
    assert len({each["writer"] for each in whole}) >= 2  # the router and the registry
    begins = get(auditor, kind="request.begin")["data"]
    assert {each["kind"] for each in begins} == {"request.begin"}
    newest = begins[-1]
    assert newest in get(auditor, kind="request.begin", since=newest["time"])["data"]
    assert get(auditor, since="2100-01-01")["data"] == []


@pytest.mark.parametrize(
    "query", [{"kind": "gossip"}, {"since": "soon"}, {"cursor": "x"}, {"limit": 0}, {"sbject": "a"}]
)
def test_what_makes_no_sense_is_refused(auditor: httpx.Client, query: dict[str, Any]) -> None:
    """400, which names the parameter."""
    answer = auditor.get(AUDIT, params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in query


def test_only_auditors_and_administrators_look(
    keyed: System, app: httpx.Client, ops: httpx.Client
) -> None:
    """Neither an application nor a reviewer."""
    assert ops.get(AUDIT).status_code == 200
    with client(keyed, "reviewer") as reviewer:
        for path in ("", "/verify", "/checkpoint", "/keys", "/0/proof", "/consistency?from=0"):
            assert app.get(AUDIT + path).status_code == 403
            assert reviewer.get(AUDIT + path).status_code == 403
        assert reviewer.post(f"{AUDIT}/verify", json={"checkpoint": {}}).status_code == 403


def test_an_admin_action_has_one_record_and_asking_has_none(
    ops: httpx.Client, auditor: httpx.Client, returns: Pushed
) -> None:
    """With who did it."""
    answer = ops.post(f"{ADMIN}/adapters/nobody/rollback", json={})
    assert answer.status_code == 404
    auditor.post(f"{AUDIT}/verify", json={"checkpoint": get(auditor, "/checkpoint")})
    told = get(auditor, kind="admin", limit=1000)["data"]
    mine = [each for each in told if each["request_id"] == answer.headers["x-request-id"]]
    assert [(each["actor"], each["status"]) for each in mine] == [("ops", 404)]
    assert [each for each in told if "audit/verify" in each["action"]] == []


def test_a_checkpoint_is_signed_over_everything_until_now(
    auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """By a listed key, over RFC 8785 of the rest; heads are the writers' newest records."""
    chat(app, "returns")
    said = get(auditor, "/checkpoint")
    assert said.keys() >= {"tree_size", "root", "heads", "time", "key_id", "signature"}
    keys = {each["key_id"]: each for each in get(auditor, "/keys")["data"]}
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[said["key_id"]]["public_key"]))
    pem = load_pem_public_key(keys[said["key_id"]]["pem"].encode())
    assert pem == key
    rest = {name: value for name, value in said.items() if name != "signature"}
    key.verify(bytes.fromhex(said["signature"]), rfc8785.dumps(rest))
    newest = {each["writer"]: each for each in get(auditor, limit=1000)["data"]}
    assert said["tree_size"] >= sum(each["sequence"] + 1 for each in newest.values())
    for writer, head in said["heads"].items():
        assert (head["sequence"], head["hash"]) == (
            newest[writer]["sequence"],
            newest[writer]["hash"],
        )
    assert auditor.post(f"{AUDIT}/verify", json={"checkpoint": said}).json()["ok"] is True
    forged = {**said, "tree_size": said["tree_size"] - 1}
    answer = auditor.post(f"{AUDIT}/verify", json={"checkpoint": forged}).json()
    assert answer["ok"] is False
    assert answer["problems"][0].keys() == {"writer", "sequence", "file", "kind", "detail"}


@pytest.mark.parametrize("body", [{}, {"checkpoint": {"root": "x"}}, {"other": 1}])
def test_only_what_was_handed_out_can_be_verified(
    auditor: httpx.Client, body: dict[str, Any]
) -> None:
    """400 for anything else."""
    assert auditor.post(f"{AUDIT}/verify", json=body).status_code == 400


def test_any_record_is_proved_to_be_under_the_root(
    auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """Also the newest, which no checkpoint covered when it was asked for."""
    chat(app, "returns")
    found = get(auditor, limit=1000)["data"]
    for each in (found[0], found[len(found) // 2], found[-1]):
        proof = get(auditor, f"/{each['sequence']}/proof", writer=each["writer"])
        assert proof.keys() == {
            "leaf_hash",
            "leaf_index",
            "tree_size",
            "path",
            "root",
            "checkpoint",
        }
        assert proof["leaf_hash"] == each["hash"]
        assert led_to(proof) == proof["root"] == proof["checkpoint"]["root"]
        assert proof["tree_size"] == proof["checkpoint"]["tree_size"]
    missing = auditor.get(f"{AUDIT}/999999/proof", params={"writer": found[0]["writer"]})
    assert missing.status_code == 404
    assert auditor.get(f"{AUDIT}/0/proof").status_code == 404  # several writers have one
    assert auditor.get(f"{AUDIT}/x/proof").status_code == 400


def test_a_later_tree_is_proved_to_go_on_from_an_earlier_one(
    auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """Both roots are those that were signed then."""
    before = get(auditor, "/checkpoint")
    chat(app, "returns")
    after = get(auditor, "/checkpoint")
    assert after["tree_size"] >= before["tree_size"] + 2
    told = get(auditor, "/consistency", **{"from": before["tree_size"], "to": after["tree_size"]})
    assert (told["from_root"], told["to_root"]) == (before["root"], after["root"])
    assert told["path"]
    assert auditor.get(f"{AUDIT}/consistency").status_code == 400
    beyond = {"from": 0, "to": after["tree_size"] + 1000}
    assert auditor.get(f"{AUDIT}/consistency", params=beyond).status_code == 404


def offline(directory: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """`graftwork audit verify` as somebody types it."""
    command = [sys.executable, "-m", "serving.cli", "audit", "verify", "--dir", str(directory)]
    done = subprocess.run([*command, "--json", *more], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_files_alone_tell_that_they_are_whole_and_what_was_changed(
    keyed: System, auditor: httpx.Client, app: httpx.Client, returns: Pushed, tmp_path: Path
) -> None:
    """Against a checkpoint and keys that were kept; then with a byte changed."""
    chat(app, "returns")
    assert get(auditor, "/verify")["ok"] is True
    kept, keys = tmp_path / "checkpoint.json", tmp_path / "keys.json"
    kept.write_text(json.dumps(get(auditor, "/checkpoint")))
    keys.write_text(json.dumps(get(auditor, "/keys")))
    given = ("--checkpoint", str(kept), "--key", str(keys))
    code, told = offline(keyed.root / "audit", *given)
    assert (code, told["ok"], told["problems"]) == (0, True, [])
    copy = tmp_path / "audit"
    shutil.copytree(keyed.root / "audit", copy)
    path = max((copy / "segments").glob("router-1-*"))
    data = bytearray(path.read_bytes())
    at = data.index(b'"actor":"app"')
    data[at + 9 : at + 12] = b"ape"
    path.write_bytes(bytes(data))
    sequence = json.loads(data[data.rindex(b"\n", 0, at) + 1 : data.index(b"\n", at)])["sequence"]
    code, told = offline(copy, *given)
    assert code == 1
    found = {(each["writer"], each["sequence"], each["kind"]) for each in told["problems"]}
    assert (path.name.rpartition("-")[0], sequence, "altered") in found


def test_the_command_line_asks_the_same(
    keyed: System, auditor: httpx.Client, app: httpx.Client, returns: Pushed
) -> None:
    """Export is every record, a line each; keys and proofs are the API's own."""
    chat(app, "returns")

    def asked(*words: str) -> str:
        options = ("--url", keyed.url, "--key", "key-auditor")
        command = [sys.executable, "-m", "serving.cli", "audit", *words, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    exported = [json.loads(line) for line in asked("export", "--kind", "request.end").splitlines()]
    assert exported == get(auditor, kind="request.end", limit=1000)["data"]
    assert json.loads(asked("keys", "--json")) == get(auditor, "/keys")
    last = exported[-1]
    proof = json.loads(asked("proof", str(last["sequence"]), "--writer", last["writer"], "--json"))
    assert led_to(proof) == proof["checkpoint"]["root"]
    assert proof["leaf_hash"] in asked("proof", str(last["sequence"]), "--writer", last["writer"])
