"""A person's data goes, from every file, and a certificate says so; the log stays whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.contract.client import ADMIN, Pushed, chat, client, until
from tests.fakes.whole_system import System

FOUND = {"exchanges", "reviews", "datasets", "adapters", "vault", "documents"}
NAME = "Zarathustra Quimby"
OPINIONS = ("that was quite a helpful answer", "not what was wanted")
SAID = "my cat is called Mxyzptlk"


@pytest.fixture(scope="module")
def auditor(keyed: System) -> Iterator[httpx.Client]:
    """Whoever looks."""
    with client(keyed, "auditor") as found:
        yield found


def erase(ops: httpx.Client, subject: str) -> dict[str, Any]:
    """Ask for it and wait until it is done."""
    answer = ops.post(f"{ADMIN}/erasures", json={"subject": subject})
    assert answer.status_code == 202, answer.text

    def done() -> dict[str, Any]:
        told = ops.get(f"{ADMIN}/erasures/{answer.json()['id']}")
        assert told.status_code == 200
        assert told.json()["state"] in {"queued", "running", "done", "failed"}
        return dict(told.json()) if told.json()["state"] == "done" else {}

    return dict(until(done))


def holding(root: Path, *values: str) -> list[str]:
    """Files that hold one of them."""
    return [
        path.name
        for path in root.rglob("*")
        if path.is_file()
        for value in values
        if value.encode() in path.read_bytes()
    ]


def test_everything_of_a_person_goes_and_nothing_of_anybody_else(
    keyed: System, app: httpx.Client, ops: httpx.Client, auditor: httpx.Client, returns: Pushed
) -> None:
    """Decisions, feedback, documents, log lines; their records stay and verify."""
    mine = chat(app, "returns", SAID, headers={"x-graftwork-subject": NAME})
    theirs = chat(app, "returns", SAID, headers={"x-graftwork-subject": "Somebody Else"})
    decisions = [each.headers["x-graftwork-decision-id"] for each in (mine, theirs)]
    for decision, opinion in zip(decisions, OPINIONS, strict=True):
        said = {"decision_id": decision, "kind": "comment", "value": opinion}
        assert app.post("/v1/feedback", json=said).status_code == 200
    document = {
        "title": f"File of {NAME}",
        "text": f"{NAME} says that {SAID}.",
        "collection": "files",
        "metadata": {"subject": NAME},
    }
    assert ops.post(f"{ADMIN}/documents", json=document).status_code == 201
    logs = keyed.root / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "router.log").write_text(f'{{"event":"odd","who":"{NAME}"}}\n{{"event":"next"}}\n')
    assert holding(keyed.root, NAME)
    assert holding(keyed.root, OPINIONS[0])

    done = erase(ops, NAME)

    assert holding(keyed.root, NAME, OPINIONS[0]) == []
    assert (logs / "router.log").read_text().endswith('"}\n{"event":"next"}\n')
    assert done["found"].keys() == FOUND
    assert done["found"] == {name: int(name == "documents") for name in FOUND}
    assert (done["also"]["records"], done["also"]["feedback"]) == (1, 1)
    page = auditor.get(f"{ADMIN}/audit", params={"subject": NAME}).json()
    assert {each["decision_id"] for each in page["data"]} >= {decisions[0]}
    record = auditor.get(f"{ADMIN}/decisions/{decisions[0]}").json()
    assert record["feedback"] == []
    other = auditor.get(f"{ADMIN}/decisions/{decisions[1]}").json()
    assert [each["value"] for each in other["feedback"]] == [OPINIONS[1]]
    assert "candidates" in other
    assert "candidates" not in record
    verdict = auditor.get(f"{ADMIN}/audit/verify").json()
    assert verdict["problems"] == []
    assert verdict["erased"] == 1


def test_the_certificate_is_signed_and_the_log_knows_it(
    app: httpx.Client, ops: httpx.Client, auditor: httpx.Client, returns: Pushed
) -> None:
    """One record of kind erasure, one of the admin action; a changed certificate is refused."""
    chat(app, "returns", user="Ignatius Farthing")
    before = auditor.get(f"{ADMIN}/audit", params={"kind": "erasure", "limit": 1000}).json()["data"]
    done = erase(ops, "Ignatius Farthing")
    certificate = done["certificate"]
    assert certificate.keys() >= {"id", "subject_hash", "found", "time", "key_id", "signature"}
    assert certificate["found"] == done["found"]
    keys = {each["key_id"]: each for each in auditor.get(f"{ADMIN}/audit/keys").json()["data"]}
    raw = bytes.fromhex(keys[certificate["key_id"]]["public_key"])
    rest = {name: value for name, value in certificate.items() if name != "signature"}
    Ed25519PublicKey.from_public_bytes(raw).verify(
        bytes.fromhex(certificate["signature"]), rfc8785.dumps(rest)
    )

    def asked(body: dict[str, Any]) -> dict[str, Any]:
        answer = auditor.post(f"{ADMIN}/audit/verify", json={"certificate": body})
        assert answer.status_code == 200
        return dict(answer.json())

    assert asked(certificate) == {"ok": True, "problems": []}
    assert asked({**certificate, "id": "era_0"})["problems"][0]["kind"] == "altered"
    assert asked({**certificate, "key_id": "0"})["problems"][0]["kind"] == "replaced"
    told = auditor.get(f"{ADMIN}/audit", params={"kind": "erasure", "limit": 1000}).json()["data"]
    [record] = told[len(before) :]
    assert record["erasure"] == done["id"]
    assert record["subjects"] == [certificate["subject_hash"]]
    actions = auditor.get(f"{ADMIN}/audit", params={"kind": "admin", "limit": 1000}).json()["data"]
    assert actions[-1]["action"] == "POST /erasures"
    assert "Farthing" not in str(told) + str(actions)


def test_one_who_was_never_here_has_a_certificate_too(ops: httpx.Client) -> None:
    """With zeros."""
    done = erase(ops, "Nobody At All")
    assert done["found"] == dict.fromkeys(done["found"], 0)
    assert done["certificate"]["found"] == done["found"]


def test_only_administrators_erase_and_only_a_named_person(
    app: httpx.Client, ops: httpx.Client, auditor: httpx.Client
) -> None:
    """400 for no name, 404 for an erasure that nobody asked for."""
    body = {"subject": NAME}
    assert app.post(f"{ADMIN}/erasures", json=body).status_code == 403
    assert auditor.post(f"{ADMIN}/erasures", json=body).status_code == 403
    for odd in ({}, {"subject": ""}, {"subject": 1}, {"subject": NAME, "all": True}):
        assert ops.post(f"{ADMIN}/erasures", json=odd).status_code == 400
    for name in ("era_000000000000000000000000", "..%2f..%2fetc", "x"):
        assert ops.get(f"{ADMIN}/erasures/{name}").status_code == 404


def test_a_legal_hold_beats_erasure_until_it_is_released(
    app: httpx.Client, ops: httpx.Client, auditor: httpx.Client, returns: Pushed
) -> None:
    """On a person all is kept, on a tenant its records; the certificate says so."""
    for name in ("Kept Whole", "Kept In Part"):
        chat(app, "returns", headers={"x-graftwork-subject": name})
    document = {
        "title": "x",
        "text": "y",
        "collection": "files",
        "metadata": {"subject": "Kept Whole"},
    }
    assert ops.post(f"{ADMIN}/documents", json=document).status_code == 201
    holds = []
    for body in ({"subject": "Kept Whole", "reason": "case 7"}, {"tenant": "app", "since": 0}):
        answer = ops.post(f"{ADMIN}/audit/holds", json=body)
        assert answer.status_code == 201, answer.text
        holds.append(answer.json()["id"])
    listed = auditor.get(f"{ADMIN}/audit/holds").json()["data"]
    assert sorted(each["id"] for each in listed) == sorted(holds)
    assert "Kept Whole" not in str(listed)
    whole = erase(ops, "Kept Whole")
    assert whole["found"]["documents"] == 0
    assert whole["certificate"]["held"] == [{"hold": holds[0], "whole": True}]
    part = erase(ops, "Kept In Part")
    assert part["certificate"]["held"] == [{"records": 1, "whole": False}]
    for each in holds:
        assert app.delete(f"{ADMIN}/audit/holds/{each}").status_code == 403
        assert ops.delete(f"{ADMIN}/audit/holds/{each}").json() == {"id": each}
        assert ops.delete(f"{ADMIN}/audit/holds/{each}").status_code == 404
    again = erase(ops, "Kept Whole")
    assert (again["found"]["documents"], again["also"]["records"]) == (1, 1)
    assert "held" not in again["certificate"]
    assert erase(ops, "Kept In Part")["also"]["records"] == 1


@pytest.mark.parametrize("body", [{}, {"reason": "x"}, {"since": "soon"}, {"subject": ""}])
def test_a_hold_says_what_it_keeps(ops: httpx.Client, body: dict[str, Any]) -> None:
    """400 otherwise."""
    assert ops.post(f"{ADMIN}/audit/holds", json=body).status_code == 400


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"x-graftwork-subject": "Vera Vault", "x-graftwork-session": "v-1"}},
        {"user": "Vera Vault", "headers": {"x-graftwork-session": "v-2"}},
        {"safety_identifier": "Vera Vault", "headers": {"x-graftwork-session": "v-3"}},
        {"graftwork": {"subject": "Vera Vault", "session": "v-4"}},
    ],
)
def test_what_the_vault_keeps_of_a_conversation_goes(
    app: httpx.Client, ops: httpx.Client, auditor: httpx.Client, how: dict[str, Any]
) -> None:
    """However the client named the person; its records are found by that name."""
    answer = chat(app, "cloud/big", "Write to vera@example.org about it.", **how)
    assert answer.status_code == 200, answer.text
    page = auditor.get(f"{ADMIN}/audit", params={"subject": "Vera Vault", "limit": 1000}).json()
    ends = [each["decision_id"] for each in page["data"] if each["kind"] == "request.end"]
    assert ends[-1] == answer.headers["x-graftwork-decision-id"]
    assert erase(ops, "Vera Vault")["found"]["vault"] == 1
    assert erase(ops, "Vera Vault")["found"]["vault"] == 0


def test_a_person_is_named_by_a_short_text(app: httpx.Client) -> None:
    """400 for anything else."""
    for odd in ("", 1, "x" * 2000):
        answer = chat(app, "cloud/big", graftwork={"subject": odd})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "graftwork.subject"


def test_the_command_line_erases_too_and_whoever_follows_events_hears_of_it(
    keyed: System, ops: httpx.Client
) -> None:
    """It waits and shows the certificate; each state is an event."""
    command = [sys.executable, "-m", "serving.cli", "erase", "Cleo Command", "--json"]
    command += ["--url", keyed.url, "--key", "key-ops"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["certificate"]["id"] == told["id"]
    states = []
    with ops.stream("GET", f"{ADMIN}/events?after=0") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:]).get("id") == told["id"]:
                states.append(json.loads(line[6:])["state"])
                if states[-1] == "done":
                    break
    assert states == ["queued", "running", "done"]


def test_erasures_are_listed_the_newest_first(
    ops: httpx.Client, auditor: httpx.Client, app: httpx.Client
) -> None:
    """In pages, without names; an auditor may look, an application not."""
    asked = [erase(ops, f"listed {number}")["id"] for number in range(3)]
    first = auditor.get(f"{ADMIN}/erasures", params={"limit": 2}).json()
    assert [each["id"] for each in first["data"]] == asked[:0:-1]
    rest = auditor.get(f"{ADMIN}/erasures", params={"cursor": first["next"]}).json()
    assert rest["data"][0]["id"] == asked[0]
    assert "listed" not in json.dumps([first, rest])
    assert app.get(f"{ADMIN}/erasures").status_code == 403
    assert auditor.get(f"{ADMIN}/erasures", params={"limit": 0}).status_code == 400
