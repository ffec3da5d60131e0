"""What experts say of captured exchanges: `reviews next|list|show|accept|edit|…`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, fail, table

app = typer.Typer(
    help="Review captured exchanges: what is accepted or edited becomes gold.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PATH = "/admin/v1/reviews"
_SHOWN_CHARS = 100

Id = Annotated[str, typer.Argument(help="the review's id", metavar="ID")]
Intent = Annotated[str | None, typer.Option(help="only this intent")]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        envvar="GRAFTWORK_ACTOR",
        help="who you are, where the server has no keys; else the key says so",
    ),
]
Comment = Annotated[str, typer.Option(help="for the other reviewers")]


@app.command("list")
def listed(
    state: Annotated[str, typer.Option(help="open, claimed, done or all")] = "open",
    intent: Intent = None,
    mine: Annotated[bool, typer.Option("--to-do", help="only what you have not judged")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="items, at most")] = 50,
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the queue: what to do next first."""
    asked = {"limit": str(limit)}
    asked |= {} if state == "all" else {"state": state}
    asked |= {} if intent is None else {"intent": intent}
    asked |= {"to_do": "true"} if mine else {}
    with connected(url, key, as_json=as_json, actor=who) as client:
        answer = client.get(f"{_PATH}?{urlencode(asked)}")
    if as_json:
        emit(answer)
        return
    table(
        ("id", "state", "intent", "count", "why", "claimed by", "asked"),
        [
            (
                row["id"],
                "disputed" if row["disputed"] else row["state"],
                row["intent"],
                (row["exchange"] or {}).get("count"),
                ", ".join(row["why"][:3]),
                row["claimed_by"],
                _asked(row)[:_SHOWN_CHARS],
            )
            for row in answer["data"]
        ],
    )


@app.command("show")
def show(
    review: Id,
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show an item: the exchange, candidates, guidelines and history."""
    with connected(url, key, as_json=as_json, actor=who) as client:
        _tell(client.get(_one(review)), as_json)


@app.command("next")
def take_next(
    intent: Intent = None,
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Claim what you should look at next, and show it."""
    query = "" if intent is None else f"?{urlencode({'intent': intent})}"
    with connected(url, key, as_json=as_json, actor=who) as client:
        _tell(client.post(f"{_PATH}/next{query}", {}), as_json)


def _command(name: str, told: str) -> None:
    """A command that does one thing to an item and takes nothing else."""

    @app.command(name, help=told)
    def command(
        review: Id,
        who: As = None,
        url: Url = DEFAULT_URL,
        key: Key = None,
        as_json: AsJson = False,
    ) -> None:
        _act(review, f"/{name}", {}, who, url, key, as_json=as_json)


def _verdict(name: str, told: str) -> None:
    """A verdict that says nothing of the answer."""

    @app.command(name, help=told)
    def command(
        review: Id,
        comment: Comment = "",
        who: As = None,
        url: Url = DEFAULT_URL,
        key: Key = None,
        as_json: AsJson = False,
    ) -> None:
        _act(review, "", {"verdict": name, "comment": comment}, who, url, key, as_json=as_json)


_command("claim", "Take an item: nobody else can judge it until the claim ends.")
_command("release", "Give an item back.")


@app.command("accept")
def accept(
    review: Id,
    answer: Annotated[
        str | None, typer.Option(help="one of the candidates; default: the answer that was given")
    ] = None,
    comment: Comment = "",
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say that an answer is right."""
    body = {
        "verdict": "accept",
        "comment": comment,
        **({} if answer is None else {"answer": answer}),
    }
    _act(review, "", body, who, url, key, as_json=as_json)


@app.command("edit")
def edit(
    review: Id,
    answer: Annotated[
        str | None, typer.Option(help="the right answer; without it, read from --file")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="holds the right answer; `-`: standard input")
    ] = None,
    comment: Comment = "",
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give the right answer in your own words."""
    if (answer is None) == (file is None):
        raise typer.BadParameter("give the right answer with --answer or with --file")
    text = answer if file is None else _read(file)
    body = {"verdict": "edit", "answer": text, "comment": comment}
    _act(review, "", body, who, url, key, as_json=as_json)


_verdict("reject", "Say that nothing is to be learnt from it.")
_verdict("escalate", "Leave it to somebody else.")
_command("undo", "Take your verdict back.")


@app.command("agreement")
def agreement(
    intent: Intent = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show how far reviewers agree, and how each does where the answer is known."""
    query = "" if intent is None else f"?{urlencode({'intent': intent})}"
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/agreement{query}")
        reviewers = {} if as_json else client.pages(f"{_PATH}/reviewers")
    if as_json:
        emit(found)
        return
    figures = (found["intent"], found["items"], found["reviewers"])
    table(
        ("intent", "items", "reviewers", "agreement", "alpha"),
        [(*figures, _figure(found["agreement"]), _figure(found["alpha"]))],
    )
    table(
        ("reviewer", "verdicts", "accepted", "edited", "rejected", "escalated", "right"),
        [
            (
                row["name"],
                row["verdicts"],
                row["accepted"],
                row["edited"],
                row["rejected"],
                row["escalated"],
                f"{_figure(row['accuracy'])} of {row['measured']}" if row["measured"] else None,
            )
            for row in reviewers["data"]
        ],
    )


@app.command("guideline")
def guideline(
    text: Annotated[str, typer.Argument(help="what reviewers are to go by; empty removes it")],
    intent: Annotated[str | None, typer.Option(help="of this intent; default: of all")] = None,
    who: As = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write down what reviewers are to go by."""
    query = "" if intent is None else f"?{urlencode({'intent': intent})}"
    raw = json.dumps({"text": text}).encode()
    with connected(url, key, as_json=as_json, actor=who) as client:
        found = client.put(f"{_PATH}/guidelines{query}", raw, "application/json")
    if as_json:
        emit(found)


def _act(
    review: str,
    what: str,
    body: dict[str, Any],
    who: str | None,
    url: str,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    with connected(url, key, as_json=as_json, actor=who) as client:
        found = client.post(f"{_one(review)}{what}", body)
    if as_json:
        emit(found)
    else:
        _state(found)


def _one(review: str) -> str:
    return f"{_PATH}/{quote(review, safe='')}"


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {error}")


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    _state(found)
    exchange = found["exchange"] or {}
    lines = [("asked", _asked(found)), ("answered", exchange.get("response"))]
    lines += [(name, _kept(exchange, name)) for name in ("tools", "tool_calls", "tools_left_out")]
    lines += [(each["source"], each["answer"]) for each in found["candidates"]]
    lines += [("guidelines", found["guidelines"])] if found["guidelines"] else []
    lines += [("settled on", found["answer"])] if found["answer"] else []
    table(("", ""), [(name, text) for name, text in lines if text])
    table(
        ("time", "what", "who", "verdict", "comment"),
        [
            (
                line["time"],
                line["action"],
                line.get("reviewer"),
                line.get("verdict"),
                line.get("comment"),
            )
            for line in found["history"]
        ],
    )


def _kept(exchange: dict[str, Any], name: str) -> str | None:
    """What is known of tools: names of those that were offered, the rest as it is kept."""
    value = exchange.get("details", {}).get(name)
    if name == "tools" and value:
        return ", ".join(tool["function"]["name"] for tool in value)
    return json.dumps(value) if value else None


def _state(found: dict[str, Any]) -> None:
    outcome = f", {found['outcome']}" if found["outcome"] else ""
    held = f", claimed by {found['claimed_by']}" if found["claimed_by"] else ""
    typer.echo(f"{found['id']}: {clean(found['state'] + outcome + held)}")


def _asked(row: dict[str, Any]) -> str:
    """What the user said last."""
    messages = (row["exchange"] or {}).get("request", {}).get("messages", [])
    said = [each.get("content") for each in messages if each.get("role") == "user"]
    return str(said[-1]) if said else ""


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
