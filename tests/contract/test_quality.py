"""Quality from outside: outcomes are imported, and single requests are told apart by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from router.admit.keys import hash_key
from serving.cli.main import app
from tests.contract.client import ADMIN, client, error_of, until
from tests.contract.test_erasures import erase, holding
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

QUALITY = f"{ADMIN}/quality"
OUTCOMES = f"{QUALITY}/outcomes"
SMALL, BIG = "frontier:cloud/small", "frontier:cloud/big"
ROWS = 120


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Two models of one provider, one dearer; a good answer is worth something."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": tenant, "scopes": scopes}
        for name, tenant, scopes in (
            ("app", "acme", ["inference"]),
            ("ops", "acme", ["inference", "admin"]),
            ("shy", "shy", ["admin"]),
        )
    ]
    models = [
        {"id": name, "input_usd_per_mtok": usd, "output_usd_per_mtok": usd}
        for name, usd in (("big", 20.0), ("small", 1.0))
    ]
    router = {
        "providers": [{"name": "cloud", "base_url": frontier.openai_url, "models": models}],
        "auth": {"keys": keys},
        "capture": {"tenants": {"acme": {"consent": True}, "shy": {"consent": False}}},
        "routing": {
            "frontiers": ["*"],
            "routes": {"*": {"worth_usd": 0.05}},
            "quality": {"priors": [{"targets": "base", "mean": 0.05}]},
        },
    }
    with whole_system(tmp_path_factory.mktemp("quality"), router, replicas=1) as running:
        yield running


@pytest.fixture
def boss(system: System) -> Iterator[httpx.Client]:
    """An operator."""
    with client(system, "ops") as found:
        yield found


def riddle(n: int) -> str:
    """What the small model cannot do."""
    return f"Prove by induction that the sum of the first {n} odd integers is a square number."


def chore(n: int) -> str:
    """What it can."""
    return f"Please translate the greeting number {n}, good morning, into Spanish for me."


def table(count: int = ROWS) -> str:
    """CSV: the small model fails at riddles, the big one at every tenth of anything."""
    lines = ["text,target,good"]
    for n in range(count):
        hard = n % 2 == 0
        text = riddle(n) if hard else chore(n)
        slip = n % 16 in (0, 1)
        lines.append(f'"{text}",cloud/small,{str((not hard) ^ slip).lower()}')
        lines.append(f'"{text}",{BIG},{0 if n % 10 == 5 else 1}')
    return "\n".join(lines) + "\n"


def put(boss: httpx.Client, text: str | bytes, kind: str = "text/csv", **query: str) -> Any:
    """Import a table."""
    return boss.post(OUTCOMES, content=text, headers={"content-type": kind}, params=query)


def decision(boss: httpx.Client, text: str) -> dict[str, Any]:
    """What would be decided."""
    body = {"model": "auto", "max_tokens": 200, "messages": [{"role": "user", "content": text}]}
    answer = boss.post("/v1/decision", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def first(decided: dict[str, Any]) -> str:
    """Who is asked first."""
    return str(next(each["target"] for each in decided["candidates"] if each["rank"] == 1))


def candidate(decided: dict[str, Any], target: str) -> dict[str, Any]:
    """What is said of one."""
    return next(each for each in decided["candidates"] if each["target"] == target)


def test_before_anything_is_known(boss: httpx.Client) -> None:
    """Conventions hold; no word of difficulty."""
    found = boss.get(QUALITY).json()
    assert found["object"] == "quality"
    assert found["model"] is None
    assert found["targets"] == found["outcomes"] == []
    decided = decision(boss, riddle(1001))
    assert first(decided) == SMALL
    assert candidate(decided, SMALL)["prior"] == "0.900 (convention)"
    assert candidate(decided, SMALL)["difficulty"] == ""
    assert decided["features"]["difficulty"] is None


def test_a_dry_run_changes_nothing(boss: httpx.Client) -> None:
    """It says what would be."""
    told = put(boss, table(), dry_run="true").json()
    assert told["dry_run"] is True
    assert told["imported"] == 2 * ROWS
    assert {each["target"] for each in told["targets"]} == {SMALL, BIG}
    assert boss.get(QUALITY).json()["outcomes"] == []


def test_an_imported_table_tells_requests_apart(boss: httpx.Client) -> None:
    """Hard ones go to the big model, easy ones to the small, and the decision says why."""
    told = put(boss, table())
    assert told.status_code == 200, told.text
    assert told.json() | {"targets": []} == {
        "imported": 2 * ROWS,
        "replaced": 0,
        "rejected": [],
        "rejected_total": 0,
        "dry_run": False,
        "targets": [],
    }
    assert put(boss, table()).json()["replaced"] == 2 * ROWS

    def learned() -> Any:
        decided = decision(boss, riddle(1002))
        return decided if candidate(decided, SMALL)["difficulty"] else None

    hard = until(learned)
    easy = decision(boss, chore(1003))
    assert first(hard) == BIG
    assert first(easy) == SMALL
    assert candidate(hard, SMALL)["difficulty"].startswith("harder than its usual request (-")
    assert candidate(easy, SMALL)["difficulty"].startswith("easier than its usual request (+")
    assert "(outcomes, " in candidate(hard, SMALL)["prior"]
    shown = boss.get(QUALITY).json()
    assert hard["features"]["difficulty"]["model"] == shown["model"]
    assert set(hard["features"]["difficulty"]["shifts"]) >= {SMALL}
    by_target = {each["target"]: each for each in shown["targets"]}
    assert by_target[SMALL]["used"] is True
    assert by_target[SMALL]["judged"] == ROWS
    assert [each["judged"] for each in shown["outcomes"]] == [ROWS, ROWS]
    assert shown["fitted_at"].endswith(("Z", "+00:00"))


LINES = (
    '{"text": "a", "target": "base", "good": true, "intent": "returns"}',
    '{"text": "b", "target": "adapter:returns", "good": 0.5, "subject": "eve@example.org"}',
    '{"text": "", "target": "base", "good": true}',
    '{"text": "c", "target": "what", "good": true}',
    '{"text": "c", "target": "adapter:Not An Alias", "good": true}',
    '{"text": "c", "target": "base", "good": 2}',
    '{"text": "c", "target": "base", "good": NaN}',
    '{"text": "c", "target": "base", "good": "maybe"}',
    '{"text": 7, "target": "base", "good": true}',
    '{"text": "c", "target": "base"}',
    "[]",
    "{",
    "",
)


def test_lines_of_json_and_what_is_wrong_with_them(boss: httpx.Client) -> None:
    """Each wrong line is named; the others are taken."""
    told = put(boss, "\n".join(LINES), "application/x-ndjson", dry_run="true").json()
    assert told["imported"] == 2
    assert [each["line"] for each in told["rejected"]] == [*range(3, 13)]
    assert told["rejected_total"] == 10
    assert "'good' must be" in told["rejected"][3]["reason"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('text,target,good\n"two\nlines",base,1\nx,base\n', [4]),
        ("\ufeffTarget,Good,Text,More\nbase,yes,x,y\nbase,no,y,z\n", []),
        ('text,target,good\n"never closed,base,1\n', [2]),
        ('text,target,good\na"b"c,base,1\n"x"y,base,1\n', [3]),
        (b"text,target,good\n\xff,base,1\nx,base,1\n", [2]),
        ("text,target,good\n\n\nx,base,1\n", []),
        ("text,target,good\n" + "x" * (2**20 + 1) + ",base,1\nx,base,1\n", [2]),
    ],
)
def test_csv_as_people_write_it(boss: httpx.Client, text: str | bytes, lines: list[int]) -> None:
    """Quotes, line breaks, other columns, another order; what is broken is named by its line."""
    told = put(boss, text, dry_run="true")
    assert told.status_code == 200, told.text
    assert [each["line"] for each in told.json()["rejected"]] == lines


@pytest.mark.parametrize("text", ["", "text,good\nx,1\n", "text,target,good,text\nx,base,1,y\n"])
def test_without_its_columns_a_table_is_refused(boss: httpx.Client, text: str) -> None:
    """The first line has to name them."""
    assert put(boss, text).status_code == 400


def test_who_may_and_what_may_be_sent(system: System, boss: httpx.Client) -> None:
    """Admins; CSV or JSON lines; not for a tenant that said no."""
    with client(system, "app") as asker:
        assert asker.get(QUALITY).status_code == 403
        assert put(asker, table()).status_code == 403
    with client(system, "shy") as shy:
        assert error_of(put(shy, table()))["code"] == "no_consent"
    assert put(boss, "x", "image/png").status_code == 415
    assert put(boss, table(), dry_run="maybe").status_code == 400
    assert boss.delete(OUTCOMES, params={"target": "no target"}).status_code == 400


def judged(boss: httpx.Client, target: str) -> int:
    """How many of its outcomes were imported."""
    found = {each["target"]: each["judged"] for each in boss.get(QUALITY).json()["outcomes"]}
    return int(found.get(target, 0))


def test_what_must_not_be_kept_is_not(system: System, boss: httpx.Client) -> None:
    """Texts are redacted on their way in, and an erasure removes what is somebody's."""
    told = put(
        boss,
        'text,target,good,subject\n"Write to mia.wallace@example.org at once",base,1,shopper_q7x\n'
        '"The order of shopper_q7x is late",base,1,\n"Where is my order?",base,1,\n',
    )
    assert told.json()["imported"] == 3
    assert holding(system.root, "mia.wallace@example.org") == []
    assert judged(boss, "base") == 3
    erase(boss, "shopper_q7x")
    assert judged(boss, "base") == 1
    assert holding(system.root, "shopper_q7x") == []
    assert boss.delete(OUTCOMES, params={"target": "base"}).json() == {"removed": 1}


def test_the_command(system: System, boss: httpx.Client, tmp_path: Path) -> None:
    """Import, show and clear; a rejected line is exit 2, a file of another kind exit 1."""
    file = tmp_path / "outcomes.csv"
    file.write_text("text,target,good\nWhat is two and two?,base,1\nWhat?,base,perhaps\n")
    run = CliRunner()
    where = ["--url", system.url, "--key", "key-ops"]

    def call(*words: str) -> tuple[int, str]:
        done = run.invoke(app, ["quality", *words, *where])
        return done.exit_code, done.output

    code, said = call("import", str(file), "--dry-run")
    assert code == 2
    assert "1 would be imported" in said
    assert f"{file}:3: 'good' must be" in said.replace("\n", " ")
    assert call("import", str(file))[0] == 2
    code, said = call("show", "--json")
    assert code == 0
    assert "base" in {each["target"] for each in json.loads(said)["outcomes"]}
    assert "told apart" in call("show")[1]
    said = run.invoke(app, ["decide", riddle(77), *where]).output
    assert "harder than its usual request" in said
    assert "worth 0.05 USD" in said
    assert call("clear", "--target", "base") == (0, "1 removed\n")
    (tmp_path / "x.txt").write_text("")
    assert call("import", str(tmp_path / "x.txt"))[0] == 1
    assert call("import", str(tmp_path / "none.csv"))[0] == 1


def test_cleared_it_is_as_before(boss: httpx.Client) -> None:
    """No outcomes, no model, conventions."""
    assert boss.delete(OUTCOMES).json()["removed"] == 2 * ROWS
    until(lambda: boss.get(QUALITY).json()["model"] is None)
    until(lambda: decision(boss, riddle(1004))["features"]["difficulty"] is None)
    assert first(decision(boss, riddle(1004))) == SMALL


def test_what_was_learned_outlives_the_registry(tmp_path: Path, frontier: FakeFrontier) -> None:
    """A system that comes back knows the model before anything is fitted anew."""
    models = [{"id": "small", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}]
    router = {
        "providers": [{"name": "cloud", "base_url": frontier.openai_url, "models": models}],
        "routing": {"frontiers": ["*"]},
    }
    with whole_system(tmp_path, router, replicas=1) as running, client(running) as http:
        put(http, table())
        model = until(lambda: http.get(QUALITY).json()["model"])
    with whole_system(tmp_path, router, replicas=1) as running, client(running) as http:
        assert http.get(QUALITY).json()["model"] == model
        found = until(lambda: decision(http, riddle(1005))["features"]["difficulty"])
        assert found["model"] == model
        assert found["shifts"][SMALL] < 0
