"""The admin plane with what nobody should send, and what everybody sends by mistake."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from serving.cli.main import app
from tests.contract.client import ADMIN, chat, error_of, move, push
from tests.fakes.whole_system import System

YAML = {"content-type": "application/yaml"}
LINES = {"content-type": "application/x-ndjson"}
JSON = "application/json"


# Texts and names


@pytest.mark.parametrize("name", ["é.txt", "ключ.txt", "報告 😀.txt"])
def test_a_documents_name_in_any_script(ops: httpx.Client, name: str) -> None:
    """As browsers and HTTP libraries write it: UTF-8 in the form's header."""
    answer = ops.post(f"{ADMIN}/documents", files={"file": (name, b"Lamps are returned here.")})
    assert answer.status_code == 201, answer.text
    assert answer.json()["title"] == name


def test_a_title_is_a_line_of_text(ops: httpx.Client) -> None:
    """Lists, terminals and databases have to bear it."""
    given = {"title": "A\x00 title\nof\x1b[31m two", "text": "Some text."}
    answer = ops.post(f"{ADMIN}/documents", json=given)
    assert answer.status_code == 201, answer.text
    assert answer.json()["title"] == "A title of [31m two"


@pytest.mark.parametrize(
    "metadata",
    ['{"a": 1' + "0" * 30 + "}", '{"a": "\\ud800"}', "[" * 2000, '{"a":' * 500, "1" * 5000, "[]"],
)
def test_metadata_that_no_list_could_show_is_not_taken(ops: httpx.Client, metadata: str) -> None:
    """In a form or as JSON: it would break every list that it is in."""
    form = {"metadata": metadata}
    files = {"file": ("a.txt", b"Lamps are returned here.")}
    answer = ops.post(f"{ADMIN}/documents", files=files, data=form)
    assert answer.status_code == 400, answer.text
    raw = '{"text": "Lamps are returned here.", "metadata": ' + metadata + "}"
    answer = ops.post(f"{ADMIN}/documents", content=raw, headers={"content-type": JSON})
    assert answer.status_code == 400, answer.text
    assert ops.get(f"{ADMIN}/documents?limit=1000").status_code == 200


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "0000000012000", "1" * 5000, "²", "1_0", ""])
@pytest.mark.parametrize("path", ["documents", "audit", "decisions", "usage", "exchanges"])
def test_what_is_no_limit(ops: httpx.Client, path: str, limit: str) -> None:
    """Refused by every list, however it is spelled."""
    answer = ops.get(f"{ADMIN}/{path}", params={"limit": limit})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == "limit"


@pytest.mark.parametrize("name", [".", "..", "search"])
def test_no_document_is_called_what_no_path_can_name(ops: httpx.Client, name: str) -> None:
    """It could neither be read nor deleted."""
    answer = ops.post(f"{ADMIN}/documents", json={"text": "Lamps.", "id": name})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == "id"


@pytest.mark.parametrize("field", ["colection", "subject", "tennant"])
def test_a_misspelt_field_of_a_form_is_told(ops: httpx.Client, field: str) -> None:
    """The document would be another tenant's, in another collection, or nobody's."""
    files = {"file": ("a.txt", b"Lamps are returned here.")}
    answer = ops.post(f"{ADMIN}/documents", files=files, data={field: "x"})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == field


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", "1e400"),
        ("float", "NaN"),
        ("float", "1" + "0" * 300),
        ("float", "true"),
        ("demonstration", "[" * 300 + "]" * 300),
    ],
)
def test_what_is_no_judgement(ops: httpx.Client, kind: str, value: str) -> None:
    """It would break what is added up, or shown, or learned from."""
    decision = chat(ops, "base").headers["x-graftwork-decision-id"]
    raw = f'{{"decision_id": "{decision}", "kind": "{kind}", "value": {value}}}'
    answer = ops.post("/v1/feedback", content=raw)
    assert answer.status_code == 400, answer.text
    assert ops.get(f"{ADMIN}/decisions/{decision}").json()["feedback"] == []


@pytest.mark.parametrize("times", [{"until": -1e11}, {"since": 9e11}, {"since": "0000-01-01"}])
def test_a_hold_over_no_time(ops: httpx.Client, times: dict[str, Any]) -> None:
    """400, and nothing is held."""
    answer = ops.post(f"{ADMIN}/audit/holds", json=times)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] in times


def test_a_damaged_document_is_told_of_in_one_sentence(ops: httpx.Client) -> None:
    """And not in what a library says to its log."""
    answer = ops.post(f"{ADMIN}/documents", files={"file": ("a.pdf", b"%PDF-1.4 broken")})
    assert answer.status_code == 422
    assert error_of(answer)["message"] == "The document cannot be read: it is damaged."


@pytest.mark.parametrize("uri", ["file:///a%00b", "/a\x00b", "file:///" + "a" * 900, "\x00"])
def test_places_that_no_path_can_name(ops: httpx.Client, uri: str) -> None:
    """Refused as any other place from which nothing may be taken."""
    answer = ops.post(f"{ADMIN}/adapters/placeless/versions", json={"uri": uri})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["code"] == "uri_not_allowed"


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_a_body_where_none_belongs_harms_nobody_else(ops: httpx.Client, method: str) -> None:
    """It is not read; whatever comes after it on the way to the registry is read whole."""
    for _ in range(3):
        ops.request(method, f"{ADMIN}/adapters/nobody-has-this", content=b"GET / HTTP/1.1\r\n")
        answer = ops.get(f"{ADMIN}/adapters")
        assert answer.status_code == 200, answer.text
        assert answer.json()["object"] == "list"


@pytest.mark.parametrize(
    "action",
    [
        "DELETE quality/outcomes?taget=base",
        "POST quality/outcomes?dry_rnu=true",
        "POST exchanges/import?format=messages&intnet=returns",
        "POST datasets/import?name=a&format=messages&itent=returns",
        "POST reviews/next?intnet=returns",
        "PUT reviews/guidelines?intnet=returns",
    ],
)
def test_a_misspelt_parameter_changes_nothing(ops: httpx.Client, action: str) -> None:
    """Without it all outcomes would go, a dry run would import, and so on."""
    method, _, path = action.partition(" ")
    answer = ops.request(method, f"{ADMIN}/{path}", content=b'{"text": "x"}', headers=LINES)
    assert answer.status_code == 400, answer.text
    assert "There is no parameter" in error_of(answer)["message"]


@pytest.mark.parametrize(
    "query", ["stgae=shadow", "Stage=canary&percent=5", "stage=live&dry_run=true"]
)
def test_a_misspelt_parameter_sends_no_version_live(ops: httpx.Client, query: str) -> None:
    """It is refused, by name, before the archive is read."""
    answer = ops.post(f"{ADMIN}/adapters/misspelt/versions?{query}", content=b"x")
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] in query
    assert "known: wait, stage, percent" in error_of(answer)["message"]


def test_a_remedy_is_a_sentence_of_its_own(ops: httpx.Client) -> None:
    """What is wrong ends before what to do about it begins."""
    answer = ops.post(f"{ADMIN}/adapters/Bad/versions", content=b"x")
    assert "}). Choose a name" in error_of(answer)["message"]


def test_whose_mistake_it_is_is_said_without_a_librarys_words(ops: httpx.Client) -> None:
    """No class name in front of the sentence."""
    answer = ops.post(f"{ADMIN}/audit/verify", json={})
    assert error_of(answer)["message"] == "give either 'checkpoint' or 'certificate'"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("audit/holds", '{"since": true}', "since"),
        ("audit/holds", '{"until": false}', "until"),
        ("audit/holds", '{"since": NaN}', None),
        ("audit/holds", '{"since": "1_0"}', "since"),
        ("datasets", '{"name": "d", "holdout": false}', "holdout"),
        ("datasets", '{"name": "d", "holdout": "0.5"}', "holdout"),
        ("datasets", '{"name": "d", "since": true}', "since"),
        ("datasets", '{"name": "d", "replay": -0.1}', "replay"),
        ("distillations", '{"intent": "returns", "settings": {"rank": true}}', "settings.rank"),
        ("distillations", '{"intent": "returns", "settings": {"kl": "1"}}', "settings.kl"),
        ("distillations", '{"intent": "returns", "settings": {"packing": 1}}', "settings.packing"),
        ("distillations", '{"intent": "returns", "settings": {"rate": 1e999}}', None),
        ("distillations", '{"intent": "returns", "settings": {"rate": -Infinity}}', None),
        ("gc", '{"dry_run": 1}', "dry_run"),
        ("gc", '{"dry_run": "false"}', "dry_run"),
        ("policy/evaluate", '{"facts": {"amount": NaN}}', None),
        ("policy/evaluate", '{"facts": {"amount": 1e999}}', None),
        ("policy/evaluate", '{"facts": {"amount": 1' + "0" * 400 + "}}", None),
        ("documents", '{"text": "Lamps.", "metadata": {"weight": Infinity}}', None),
    ],
)
def test_a_number_is_a_number(ops: httpx.Client, path: str, body: str, param: str | None) -> None:
    """No truth, no digits in quotes, and nothing that a JSON of others could not say."""
    answer = ops.post(f"{ADMIN}/{path}", content=body, headers={"content-type": JSON})
    assert answer.status_code in {400, 422}, answer.text
    if param is not None:
        assert param in error_of(answer)["param"]


@pytest.mark.parametrize("percent", [True, "10", None, 0, -1, 100.1])
def test_a_share_is_a_number(ops: httpx.Client, percent: Any) -> None:
    """Of more than 0 and up to 100; ``true`` is not one percent."""
    version = push(ops, "shared", 81)
    answer = move(ops, "shared", "canary", digest=version.digest, percent=percent)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == "percent"


@pytest.mark.parametrize("alias", ["auto", "base", "tiny", "cloud", "frontier"])
def test_nothing_is_distilled_into_a_name_that_means_something_else(
    ops: httpx.Client, alias: str
) -> None:
    """Refused when it is asked for, not when the training of hours is to be pushed."""
    given = {"intent": "returns", "alias": alias}
    answer = ops.post(f"{ADMIN}/distillations", json=given)
    assert answer.status_code == 422, answer.text
    assert error_of(answer)["param"] == "alias"


# Rules


@pytest.mark.parametrize("rules", [b"", b"\n\n", b"# nothing\n", b"null\n", b"---\n"])
def test_a_file_that_says_nothing_takes_no_rules_away(ops: httpx.Client, rules: bytes) -> None:
    """A file that was cut, or never written, is an error; ``rules: []`` says it."""
    held = b"rules:\n  - {id: held, when: tenant == 'nobody', deny: no}\n"
    assert ops.put(f"{ADMIN}/policy", content=held, headers=YAML).status_code == 200
    answer = ops.put(f"{ADMIN}/policy", content=rules, headers=YAML)
    assert answer.status_code == 422, answer.text
    assert "rules: []" in answer.json()["errors"][0]["message"]
    assert ops.get(f"{ADMIN}/policy").json()["active"]["source"] == held.decode()
    answer = ops.put(f"{ADMIN}/policy", content=b"rules: []\n", headers=YAML)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "action",
    [
        "PUT policy?stgae=shadow",
        "PUT policy?Stage=shadow",
        "POST policy/promote?version=1",
        "POST policy/rollback?to=1",
    ],
)
def test_a_misspelt_parameter_sends_no_rules_live(ops: httpx.Client, action: str) -> None:
    """Who meant the shadow is told so, before the rules hold for everybody."""
    method, _, path = action.partition(" ")
    rules = b"rules:\n  - {id: everybody, deny: meant for the shadow}\n"
    answer = ops.request(method, f"{ADMIN}/{path}", content=rules, headers=YAML)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] in path
    assert "meant for the shadow" not in ops.get(f"{ADMIN}/policy").text


def test_a_control_character_is_found_by_its_line(ops: httpx.Client) -> None:
    """As every other mistake in the file."""
    answer = ops.put(f"{ADMIN}/policy", content=b"rules: []\n# \x00\n", headers=YAML)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["line"] == 2
    assert "unicode string" not in problem["message"]


# Questions


@pytest.mark.parametrize(
    "since", ["nan", "inf", "-inf", "1e400", "9e11", "-1e11", "yesterday", "2026-13-01"]
)
@pytest.mark.parametrize("path", ["decisions", "usage", "audit"])
def test_what_is_no_time(ops: httpx.Client, path: str, since: str) -> None:
    """Refused by every list that takes one."""
    answer = ops.get(f"{ADMIN}/{path}", params={"since": since})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == "since"


@pytest.mark.parametrize("path", ["decisions", "usage", "audit"])
def test_a_zone_whose_plus_nobody_escaped(ops: httpx.Client, path: str) -> None:
    """In a URL a plus sign means a space: the time is meant all the same."""
    for zone in ("+02:00", "%2B02:00", "Z", ""):
        answer = ops.get(f"{ADMIN}/{path}?since=2026-01-01T00:00:00{zone}")
        assert answer.status_code == 200, answer.text


def test_decisions_by_what_cannot_be(ops: httpx.Client) -> None:
    """A status that is none is a mistake, not an empty list; an unknown parameter is named."""
    for query, param in (("status=ok", "status"), ("status=2000", "status"), ("state=1", "state")):
        answer = ops.get(f"{ADMIN}/decisions?{query}")
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["param"] == param
    chat(ops, "base")
    assert ops.get(f"{ADMIN}/decisions?status=200").json()["data"]


def test_keys_of_the_log_are_a_list(ops: httpx.Client) -> None:
    """With pages, as all are."""
    answer = ops.get(f"{ADMIN}/audit/keys", params={"limit": 1}).json()
    assert (answer["object"], len(answer["data"]), answer["next"]) == ("list", 1, None)
    assert ops.get(f"{ADMIN}/audit/keys", params={"limit": 0}).status_code == 400
    assert ops.get(f"{ADMIN}/audit/keys", params={"cursor": "no!"}).status_code == 400


# Files


def test_a_file_may_begin_with_a_byte_order_mark(ops: httpx.Client) -> None:
    """As some editors write it."""
    line = b'{"prompt": "Who marks the order of bytes?", "completion": "Nobody."}\n'
    answer = ops.post(
        f"{ADMIN}/exchanges/import?format=prompt_completion",
        content=b"\xef\xbb\xbf" + line,
        headers=LINES,
    )
    assert answer.json()["imported"] == 1, answer.text


def test_the_reason_names_what_a_line_lacks(ops: httpx.Client) -> None:
    """Of the format that was named."""
    for form, line, reason in (
        ("prompt_completion", b'{"prompt": 5, "completion": "x"}', "it has no 'prompt'"),
        ("prompt_completion", b'{"prompt": "x"}', "it has no 'completion'"),
        ("openai_logs", b'{"request": {}, "response": {}}', "it has no prompt"),
    ):
        answer = ops.post(
            f"{ADMIN}/exchanges/import?format={form}", content=line + b"\n", headers=LINES
        )
        assert answer.json()["rejected"] == [{"line": 1, "reason": reason}], form


# What to do next


@pytest.mark.parametrize(
    "path",
    [
        "adapters/nobody",
        "adapters/shared/versions/ffffffffffff",
        "reviews/nobody",
        "exchanges/nobody",
        "datasets/nobody",
        "distillations/nobody",
        "decisions/nobody",
        "documents/nobody",
        "documents/search?q=lamp&collection=nobody",
        "clusters/nobody",
        "erasures/nobody",
    ],
)
def test_what_is_not_there_says_where_to_look(ops: httpx.Client, path: str) -> None:
    """A message without a remedy leaves a stranger alone."""
    push(ops, "shared", 81)
    answer = ops.get(f"{ADMIN}/{path}")
    assert answer.status_code == 404, answer.text
    message = error_of(answer)["message"]
    assert "`graftwork " in message or "GET /admin/v1/" in message, message


def test_a_person_is_named_once(keyed: System) -> None:
    """As an argument or as ``--subject``; neither or both is a mistake of usage."""
    server = ["--url", keyed.url, "--key", "key-ops"]
    for words, code in (
        (["--subject", "nobody@example.com"], 0),
        (["nobody@example.com"], 0),
        ([], 2),
        (["one@example.com", "--subject", "two@example.com"], 2),
    ):
        done = CliRunner().invoke(app, ["erase", *words, *server])
        assert done.exit_code == code, done.output
