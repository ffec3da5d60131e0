"""Datasets from outside: brought in, frozen, listed, exported; what is held out never trains."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, client
from tests.fakes.whole_system import System

DATASETS = f"{ADMIN}/datasets"
LINES = {"content-type": "application/x-ndjson"}
USER = {"role": "user", "content": "q"}
ASSISTANT = {"role": "assistant", "content": "a"}
_WORDS = ("lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window")


@pytest.fixture(scope="module")
def admin(keyed: System) -> Iterable[httpx.Client]:
    """An operator's client."""
    with client(keyed, "ops") as found:
        yield found


def question(number: int) -> str:
    """Texts of different numbers are of different templates."""
    return " ".join(_WORDS[(number >> shift) % 8] for shift in (0, 3, 6))


def messages(*numbers: int, salt: str = "", answer: str = "") -> bytes:
    """JSON lines."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": f"{salt} {question(number)}"},
                {"role": "assistant", "content": answer or f"answer {salt} {question(number)}"},
            ]
        }
        for number in numbers
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def bring(http: httpx.Client, raw: bytes, **query: str) -> httpx.Response:
    """What is answered to a file."""
    return http.post(f"{DATASETS}/import", params=query, content=raw, headers=LINES)


def brought(http: httpx.Client, raw: bytes, **query: str) -> dict[str, Any]:
    """A file that was taken."""
    answer = bring(http, raw, **{"format": "messages", **query})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def exported(http: httpx.Client, digest: str, **query: str) -> list[dict[str, Any]]:
    """Its lines."""
    answer = http.get(f"{DATASETS}/{digest}/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.content.split(b"\n") if line]


def test_what_is_exported_and_imported_keeps_every_row(admin: httpx.Client) -> None:
    """In both forms, twice the same row included; the digest is the content's, not the name's."""
    raw = messages(*range(20), 3, salt="keep")
    made = brought(admin, raw, name="first", intent="returns", holdout="0.25")
    assert made["counts"] == {"returns": 21}
    assert sum(made["splits"].values()) == 21
    assert set(made["splits"]) == {"train", "test"}
    for form in ("messages", "prompt_completion"):
        answer = admin.get(f"{DATASETS}/{made['digest']}/export", params={"format": form})
        again = brought(admin, answer.content, name=f"again {form}", format=form, intent="returns")
        assert again["digest"] == made["digest"]
        assert again["splits"] == made["splits"]
        assert again["rejected"] == []
        assert again["name"] == f"again {form}"
    lines = exported(admin, made["digest"], format="messages")
    assert sorted(map(json.dumps, lines)) == sorted(
        json.dumps(json.loads(line)) for line in raw.splitlines()
    )


def test_splits_and_forms_of_an_export(admin: httpx.Client) -> None:
    """One split alone; a prompt of one question is a text; bare unless asked otherwise."""
    rows = [{"prompt": question(n), "completion": f"done {n}"} for n in range(10)]
    raw = b"\n".join(json.dumps(row).encode() for row in rows)
    made = brought(admin, raw, name="pairs", format="prompt_completion", intent="pairs")
    split = {
        name: exported(admin, made["digest"], format="prompt_completion", split=name)
        for name in ("train", "test")
    }
    assert {name: len(found) for name, found in split.items()} == made["splits"]
    assert all(made["splits"].values())
    key = json.dumps
    assert sorted([*map(key, split["train"]), *map(key, split["test"])]) == sorted(map(key, rows))
    [first, *_] = exported(admin, made["digest"], metadata="true", split="test")
    assert first["messages"][-1]["role"] == "assistant"
    assert (first["split"], first["intent"], first["reviewers"]) == ("test", "pairs", ["ops"])
    assert first["provenance"] == "human"


def test_a_directory_for_hugging_face(admin: httpx.Client) -> None:
    """Splits as files, and a card whose front matter names them."""
    made = brought(admin, messages(*range(10), salt="hub"), name="hub | #1", intent="hub")
    answer = admin.get(f"{DATASETS}/{made['digest']}/export", params={"format": "huggingface"})
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        files = {}
        for member in archive.getmembers():
            opened = archive.extractfile(member)
            assert opened is not None
            files[member.name.partition("/")[2]] = opened.read()
    assert sorted(files) == ["README.md", "test.jsonl", "train.jsonl"]
    assert files["README.md"].startswith(b"---\nconfigs:\n")
    assert b"path: train.jsonl" in files["README.md"]
    assert files["train.jsonl"].count(b"\n") == made["splits"]["train"]
    assert {json.loads(line)["split"] for line in files["test.jsonl"].splitlines()} == {"test"}


def test_gold_once_held_out_is_never_trained_on(admin: httpx.Client) -> None:
    """Under any name, in any mixture, whatever a file says of splits, with another answer too."""
    made = brought(admin, messages(*range(10), salt="hold"), name="one", intent="hold")
    held = {row["messages"][1]["content"] for row in exported(admin, made["digest"], split="test")}
    assert held
    more = brought(
        admin,
        messages(*range(30), salt="hold", answer="wrong"),
        name="two",
        intent="hold",
        holdout="0",
    )
    trained = {
        row["messages"][1]["content"] for row in exported(admin, more["digest"], split="train")
    }
    assert trained.isdisjoint(held)
    assert more["splits"]["test"] == len(held)
    declared = [
        {**json.loads(line), "split": "train"}
        for line in messages(*range(10), salt="hold").splitlines()
    ]
    third = brought(
        admin, b"\n".join(json.dumps(row).encode() for row in declared), name="3", intent="hold"
    )
    assert third["splits"]["test"] == len(held)


def test_one_template_and_one_conversation_stay_together(admin: httpx.Client) -> None:
    """Digits and placeholders masked; the card says that its own splits were checked."""
    rows = [
        {"prompt": text.format(number), "completion": f"{number}"}
        for text in ("Where is order {}?", "Cancel {} for [PERSON_1]", "Is item {} in stock")
        for number in range(6)
    ]
    raw = b"\n".join(json.dumps(row).encode() for row in rows)
    made = brought(admin, raw, name="t", format="prompt_completion", intent="t", holdout="0.34")
    tested = exported(admin, made["digest"], format="prompt_completion", split="test")
    assert len(tested) == 6
    assert len({row["prompt"][:6] for row in tested}) == 1
    card = admin.get(f"{DATASETS}/{made['digest']}").json()
    assert {check["name"] for check in card["checks"]} >= {"template", "conversation", "held_out"}
    assert all(check["passed"] for check in card["checks"])
    assert card["statistics"]["provenance"] == {"human": 18}
    assert card["warnings"]
    text = admin.get(f"{DATASETS}/{made['digest']}/card").text
    assert made["digest"] in text
    page = admin.get(f"{DATASETS}/{made['digest']}/rows", params={"limit": 5}).json()
    assert len(page["data"]) == 5
    assert page["next"]


def test_lists(admin: httpx.Client) -> None:
    """The newest first, in pages; each with its digest, counts and splits."""
    names = [f"list {number}" for number in range(3)]
    for number, name in enumerate(names):
        brought(admin, messages(*range(4), salt=f"list{number}"), name=name, intent="list")
    page = admin.get(DATASETS, params={"limit": 2}).json()
    assert page["object"] == "list"
    assert [row["name"] for row in page["data"]] == names[:0:-1]
    following = admin.get(DATASETS, params={"limit": 1, "cursor": page["next"]}).json()
    assert [row["name"] for row in following["data"]] == names[:1]
    row = page["data"][0]
    found = admin.get(f"{DATASETS}/{row['digest']}").json()
    assert {key: found[key] for key in row} == row
    assert (row["state"], row["rebuilt_as"]) == ("frozen", None)


def test_personal_data_is_not_kept(admin: httpx.Client, keyed: System) -> None:
    """Of what is brought in, as of what is captured: not in the answer, not in a file."""
    line = json.loads(
        messages(1, salt="qx_jroe writes to jane.roe@example.com", answer="jane.roe@example.com")
    )
    raw = json.dumps({**line, "user": "qx_jroe"}).encode()
    made = brought(admin, raw, name="pii", intent="pii")
    [row] = exported(admin, made["digest"])
    assert "jane.roe" not in json.dumps(row)
    assert "qx_jroe" not in json.dumps(row)
    assert "[EMAIL" in row["messages"][1]["content"]
    assert row["messages"][2]["content"] in row["messages"][1]["content"]
    for path in keyed.root.rglob("*"):
        if path.is_file() and "datasets" in path.parts:
            assert b"jane.roe" not in path.read_bytes()
            assert b"qx_jroe" not in path.read_bytes()


def test_bad_lines_are_named_and_the_others_taken(admin: httpx.Client) -> None:
    """Lines count from 1; a line separator within a text ends no line."""
    good = json.dumps(
        {
            "messages": [
                {"role": "user", "content": "a\u2028b\u0085c"},
                {"role": "assistant", "content": "x"},
            ]
        },
        ensure_ascii=False,
    ).encode()
    bad = [
        b"{",
        b"[]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": [{"role": "user", "content": "q"}]}',
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "user", "content": "q"}]}',
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": " "}]}',
        b'{"messages": [{"role": "boss", "content": "q"}, {"role": "assistant", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": "a"}]}',
        json.dumps({"messages": [USER | {"content": "\ud800"}, ASSISTANT]}).encode(),
        good[:-1] + b', "split": "dev"}',
        good[:-1] + b', "subjects": ["jane"]}',
        b"[" * 50_000,
        good[:-1] + b', "deep": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe",
    ]
    made = brought(admin, b"\n".join([good, b"", *bad, b""]), name="bad", intent="bad")
    assert [each["line"] for each in made["rejected"]] == [*range(3, 3 + len(bad))]
    assert all(each["reason"] for each in made["rejected"])
    assert made["counts"] == {"bad": 1}
    [row] = exported(admin, made["digest"])
    assert row["messages"][0]["content"] == "a\u2028b\u0085c"
    answer = bring(admin, b"{}\n", name="none", intent="x")
    assert answer.status_code == 422
    assert answer.json()["rejected"] == [
        {"line": 1, "reason": answer.json()["rejected"][0]["reason"]}
    ]
    assert bring(admin, b"", name="none", intent="x").status_code == 422
    unnamed = bring(admin, messages(1), name="no intent")
    assert unnamed.status_code == 422
    assert "intent" in unnamed.text


@pytest.mark.parametrize(
    "query",
    [
        {"intent": "x"},
        {"name": "", "intent": "x"},
        {"name": "a\nb", "intent": "x"},
        {"name": "a", "intent": ""},
        {"name": "a", "intent": "x", "format": "csv"},
        {"name": "a", "intent": "x", "holdout": "2"},
        {"name": "a", "intent": "x", "holdout": "x"},
    ],
)
def test_wrong_imports(admin: httpx.Client, query: dict[str, str]) -> None:
    """Each is told what is wrong."""
    answer = bring(admin, messages(1), **query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] in {"name", "intent", "format", "holdout"}


def test_what_is_no_file_of_lines(admin: httpx.Client) -> None:
    """415 names the kind that is taken."""
    answer = admin.post(
        f"{DATASETS}/import",
        params={"name": "a", "intent": "x"},
        content=b"PK",
        headers={"content-type": "application/zip"},
    )
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\u0000b"},
        {"name": "a", "holdout": 1.5},
        {"name": "a", "holdout": -0.1},
        {"name": "a", "holdout": "many"},
        {"name": "a", "intents": []},
        {"name": "a", "intents": "returns"},
        {"name": "a", "since": "yesterday"},
        {"name": "a", "other": 1},
    ],
)
def test_wrong_bodies(admin: httpx.Client, body: dict[str, Any]) -> None:
    """Each is 400 with the field."""
    answer = admin.post(DATASETS, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_without_reviewed_answers_there_is_no_dataset(admin: httpx.Client) -> None:
    """Law 12."""
    answer = admin.post(DATASETS, json={"name": "none", "intents": ["nobody-asks-this"]})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "nothing_reviewed"


@pytest.mark.parametrize("part", ["", "/export", "/rows", "/card"])
def test_unknown_datasets(admin: httpx.Client, part: str) -> None:
    """404; also digests that are none."""
    for digest in ("0" * 64, "nope", "%00", "..%2f"):
        answer = admin.get(f"{DATASETS}/{digest}{part}")
        assert answer.status_code == 404, answer.text


def test_wrong_questions(admin: httpx.Client) -> None:
    """Unknown splits and forms are 400."""
    made = brought(admin, messages(1, 2, salt="ask"), name="ask", intent="ask")
    for query in ({"split": "dev"}, {"format": "parquet"}, {"metadata": "yes"}):
        answer = admin.get(f"{DATASETS}/{made['digest']}/export", params=query)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] in query


def test_only_admins(keyed: System) -> None:
    """Neither applications nor reviewers nor auditors see training data."""
    for name in ("app", "reviewer", "auditor"):
        with client(keyed, name) as http:
            assert http.get(DATASETS).status_code == 403
            assert bring(http, messages(1), name="a", intent="x").status_code == 403
