"""What each target may see of one request, and what happens when nobody can tell."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from router.config.auth import KeyScope
from router.config.governance import GovernanceConfig
from router.errors import GuardUnavailable, InvalidRequest, SecretBlocked
from router.govern.detect import DetectorUnavailable, Span, TextTooLong
from router.govern.governance import Governance
from router.govern.guard import Guard
from router.govern.scan import Detectors
from router.policy.instruct import instructed
from router.prepare import parse
from router.request import Caller, Option, Request
from router.wire.endpoint import Endpoint
from router.wire.events import Body, Event, Events

MAIL, NAME, KEY = "ann@example.org", "Ann Bone", "sk-live-0000"
LOCAL = Option("base", "tiny")
CLOUD, OTHER = Option("frontier:cloud/big"), Option("frontier:other/m")


class Words:
    """Finds these values, wherever they stand."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.asked: list[str] = []

    def find(self, text: str) -> list[Span]:
        """One of each."""
        self.asked.append(text)
        return [
            Span(text.index(value), text.index(value) + len(value), entity)
            for entity, value in self.values.items()
            if value in text
        ]


class Names:
    """The same, off the loop; fails as it is told to."""

    ready = True

    def __init__(self, fails: Callable[[], None] | None = None, delay_s: float = 0.0) -> None:
        self._words = Words(PERSON=NAME)
        self._fails = fails
        self._delay_s = delay_s
        self.asked: list[str] = []

    async def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What is in each."""
        self.asked += texts
        await asyncio.sleep(self._delay_s)
        if self._fails is not None:
            self._fails()
        return [self._words.find(text) for text in texts]


def governance(names: Names | None = None, patterns: Any = None, **pii: Any) -> Governance:
    """Wired as a router wires it, over these detectors."""
    detectors = Detectors(
        patterns or Words(EMAIL=MAIL, SECRET=KEY),
        names,
        frozenset({"PERSON"}) if names else frozenset(),
    )
    config = GovernanceConfig.model_validate({"pii": pii})
    return Governance(config, detectors, lambda value: value.encode().hex().ljust(32, "0"))


def request(said: str, headers: dict[str, str] | None = None, **body: Any) -> Request:
    """As data-prep made it."""
    caller = Caller("k", "acme", frozenset({KeyScope.INFERENCE}))
    asked = Request("r", "d", Endpoint.RESPONSES, headers or {}, caller=caller)
    return parse(asked, orjson.dumps({"model": "m", "input": said, **body}))


async def guarded(governed: Governance, asked: Request) -> Guard:
    """After governance in."""
    return governed.guard(await governed.inbound(asked))


async def test_only_a_target_that_may_not_see_names_has_them_looked_for() -> None:
    """Local targets see plain text, so no model runs for them."""
    names = Names()
    asked = request(f"{NAME} is {MAIL}")
    guard = await guarded(governance(names), asked)
    assert await guard.outgoing(LOCAL, asked.body) is asked.body
    assert names.asked == []
    sent = await guard.outgoing(CLOUD, asked.body)
    assert sent["input"] == "[PERSON_1] is [EMAIL_1]"
    assert guard.redactions(CLOUD) == {("PERSON", "vault"): 1, ("EMAIL", "vault"): 1}
    assert guard.redactions(LOCAL) == {}


def _raise(error: Exception) -> Callable[[], None]:
    def fails() -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    "names",
    [
        Names(_raise(DetectorUnavailable("not loaded"))),
        Names(_raise(TextTooLong("too long"))),
        Names(_raise(ValueError(MAIL))),
        Names(delay_s=5.0),
    ],
    ids=["unavailable", "too long", "broken", "slow"],
)
async def test_when_nobody_can_look_nothing_is_sent(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    """And neither the error nor the log repeats what was to be looked at."""
    asked = request(f"{NAME} is {MAIL}")
    guard = await guarded(governance(names, budget_s=0.1), asked)
    with pytest.raises(GuardUnavailable) as caught:
        await guard.outgoing(CLOUD, asked.body)
    assert (caught.value.status, caught.value.code) == (503, "guard_unavailable")
    assert caught.value.retry_after_s
    assert MAIL not in caught.value.message + caplog.text
    assert await guard.outgoing(LOCAL, asked.body) is asked.body


async def test_secrets_fail_closed_for_everybody() -> None:
    """Nobody gets a text in which nobody looked for keys."""

    class Broken:
        def find(self, text: str) -> list[Span]:
            """Breaks."""
            raise RuntimeError(text)

    with pytest.raises(GuardUnavailable):
        await governance(patterns=Broken()).inbound(request("hello"))


async def test_a_secret_in_the_request_is_refused_and_one_in_a_document_masked() -> None:
    """The client can take its own away; a document must not make a conversation impossible."""
    governed = governance()
    with pytest.raises(SecretBlocked) as caught:
        await governed.inbound(request(f"why is {KEY} refused?"))
    assert KEY not in caught.value.message
    asked = request("what do the documents say?")
    guard = await guarded(governed, asked)
    stitched = {**asked.body, "instructions": f"Documents: the key is {KEY}, ask {MAIL}"}
    assert (await guard.outgoing(LOCAL, stitched))["instructions"] == (
        f"Documents: the key is [SECRET], ask {MAIL}"
    )
    assert (await guard.outgoing(CLOUD, stitched))["instructions"] == (
        "Documents: the key is [SECRET], ask [EMAIL_1]"
    )


async def test_what_is_found_once_is_kept_back_wherever_it_stands() -> None:
    """A model sees a name in one sentence and not in another."""

    class Once(Names):
        async def find(self, texts: Sequence[str]) -> list[list[Span]]:
            """In the first text only."""
            found = await super().find(texts)
            return [found[0], *([] for _ in found[1:])]

    said = [
        {"role": "user", "content": f"I am {NAME}."},
        {"role": "assistant", "content": f"Hello {NAME}!"},
        {"role": "user", "content": f"x{NAME}x is no name"},
    ]
    asked = request("", input=said)
    guard = await guarded(governance(Once()), asked)
    sent = (await guard.outgoing(CLOUD, asked.body))["input"]
    assert [each["content"] for each in sent] == [
        "I am [PERSON_1].", "Hello [PERSON_1]!", f"x{NAME}x is no name",
    ]  # fmt: skip


async def test_what_a_rule_tells_the_model_is_looked_through_too() -> None:
    """It came after the request's texts were found."""
    asked = instructed(request("Who answers?", user="u1"), [f"Tell them to write to {MAIL}."])
    guard = await guarded(governance(), asked)
    sent = await guard.outgoing(CLOUD, asked.body)
    assert MAIL not in str(sent)
    assert sent["input"] == "Who answers?"
    assert sent["user"] != "u1"


async def test_a_body_in_which_nothing_is_found_goes_out_as_it_is() -> None:
    """Another body than the client's own is looked through anew."""
    asked = request("Who answers?", instructions="Be brief.")
    guard = await guarded(governance(), asked)
    assert await guard.outgoing(CLOUD, asked.body) is asked.body
    other = {**asked.body, "instructions": f"Write to {MAIL}."}
    assert MAIL not in str(await guard.outgoing(CLOUD, other))


async def test_names_do_not_depend_on_what_is_stitched_in() -> None:
    """Documents come first in a body and differ from turn to turn; the client's numbers stay."""
    asked = request(f"write to {MAIL}")
    other = "zed@example.org"
    guard = await guarded(governance(patterns=Words(EMAIL=MAIL, PHONE=other)), asked)
    plain = await guard.outgoing(CLOUD, asked.body)
    stitched = await guard.outgoing(CLOUD, {"instructions": f"{other} {MAIL}", **asked.body})
    assert plain["input"] == stitched["input"] == "write to [EMAIL_1]"
    assert stitched["instructions"] == "[PHONE_1] [EMAIL_1]"


async def test_who_goes_on_from_a_broken_answer_sees_it_by_its_own_rules() -> None:
    """And nobody goes on from the middle of a value."""
    asked = request(f"{NAME} is {MAIL}")
    guard = await guarded(governance(Names()), asked)
    await guard.outgoing(CLOUD, asked.body)
    assert await guard.begun(CLOUD, f"Dear {NAME}, we") == "Dear [PERSON_1], we"
    assert await guard.begun(LOCAL, f"Dear {NAME}, we") == f"Dear {NAME}, we"
    with pytest.raises(GuardUnavailable):
        await guard.begun(CLOUD, "Dear Ann")


async def test_a_prompt_of_token_ids_is_for_those_who_may_see_everything() -> None:
    """In numbers nobody can look."""
    caller = Caller("k", "acme", frozenset({KeyScope.INFERENCE}))
    asked = Request("r", "d", Endpoint.COMPLETIONS, {}, caller=caller)
    asked = parse(asked, orjson.dumps({"model": "m", "prompt": [1, 2, 3]}))
    guard = await guarded(governance(), asked)
    with pytest.raises(InvalidRequest):
        await guard.outgoing(CLOUD, asked.body)
    assert await guard.outgoing(LOCAL, asked.body) is asked.body


class Said:
    """An answer of one piece."""

    status = 200
    content_type = "application/json"
    usage: Any = None

    def __init__(self, *pieces: Body | Events) -> None:
        self._pieces = pieces

    async def chunks(self) -> Any:
        """All of it."""
        for piece in self._pieces:
            yield piece

    def interrupt(self, error: Exception) -> None:
        """Nothing waits."""

    async def aclose(self) -> None:
        """Nothing is open."""


async def _read(guard: Guard, *pieces: Body | Events) -> str:
    answer = guard.incoming(CLOUD, Said(*pieces))
    return b"".join([piece.raw async for piece in answer.chunks()]).decode()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_that_a_provider_keeps_keeps_its_placeholders(streamed: bool) -> None:
    """The next request says only which response it goes on from."""
    governed = governance()
    first = request(f"I am {MAIL}")
    guard = await guarded(governed, first)
    await guard.outgoing(CLOUD, first.body)
    response = {"object": "response", "id": "resp_1", "output": []}
    event = Event.of({"type": "response.created", "response": response})
    await _read(guard, Events.of([event]) if streamed else Body.of(response))
    second = request("who am I?", previous_response_id="resp_1")
    later = await guarded(governed, second)
    await later.outgoing(CLOUD, second.body)
    text = {"object": "response", "id": "resp_2", "instructions": "You are [EMAIL_1]"}
    assert f"You are {MAIL}" in await _read(later, Body.of(text))
    stranger = await guarded(governed, request("who?", previous_response_id="resp_9"))
    await stranger.outgoing(CLOUD, second.body)
    assert "You are [EMAIL_1]" in await _read(stranger, Body.of(text))


async def test_a_session_keeps_its_placeholders_when_its_beginning_is_left_out() -> None:
    """A client that sends the last turns only still gets the same names."""
    governed, session = governance(), {"x-graftwork-session": "s"}
    other = "zed@example.org"
    for said, sent in ((f"{MAIL}", "[EMAIL_1]"), (f"{other} {MAIL}", f"{other} [EMAIL_1]")):
        asked = request(said, session)
        guard = await guarded(governed, asked)
        assert (await guard.outgoing(CLOUD, asked.body))["input"] == sent
    assert len(governed.conversations) == 1


async def test_a_structured_answer_stays_json() -> None:
    """A value with quotation marks is put into the JSON that the text is."""
    value = 'Ann "the" Bone'
    asked = request(value, text={"format": {"type": "json_schema", "name": "x", "schema": {}}})
    guard = await guarded(governance(patterns=Words(PERSON=value)), asked)
    assert (await guard.outgoing(CLOUD, asked.body))["input"] == "[PERSON_1]"
    part = {"type": "output_text", "text": '{"name": "[PERSON_1]"}'}
    item = {"type": "message", "role": "assistant", "content": [part]}
    answer = await _read(guard, Body.of({"object": "response", "id": "r", "output": [item]}))
    found = orjson.loads(answer)["output"][0]["content"][0]["text"]
    assert orjson.loads(found) == {"name": value}


async def test_targets_have_rules_of_their_own() -> None:
    """The first rule that applies decides."""
    governed = governance(
        rules=[
            {"targets": ["frontier:other/*"], "entities": ["email_address"], "action": "hash"},
            {"targets": ["other/*"], "action": "mask"},
            {"tenants": ["nobody"], "action": "allow"},
        ],
        names=Names(),
    )
    asked = request(f"{NAME} is {MAIL}")
    guard = await guarded(governed, asked)
    assert (await guard.outgoing(CLOUD, asked.body))["input"] == "[PERSON_1] is [EMAIL_1]"
    assert (await guard.outgoing(OTHER, asked.body))["input"] == (
        f"[PERSON] is EMAIL-{MAIL.encode().hex()[:12]}"
    )
    assert guard.restored(CLOUD, "no [EMAIL_1]") == f"no {MAIL}"
    assert guard.restored(OTHER, "no [EMAIL_1]") == "no [EMAIL_1]"


async def test_a_text_that_comes_again_is_not_searched_again_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client sends the whole conversation each turn; what is remembered is no text."""
    monkeypatch.setattr("router.govern.scan._TEXTS_KEPT", 3)
    words = Words(EMAIL=MAIL)
    governed = governance(patterns=words)
    turns = [{"role": "user", "content": f"{place} {MAIL}"} for place in range(3)]
    await guarded(governed, request("", input=turns[:2]))
    guard = await guarded(governed, request("", input=turns))
    assert words.asked == [turn["content"] for turn in turns]
    sent = await guard.outgoing(CLOUD, {"input": turns})
    assert [each["content"] for each in sent["input"]] == [f"{n} [EMAIL_1]" for n in range(3)]
    assert len(words.asked) == 3
    for place in range(5):
        await guarded(governed, request(f"other {place}"))
    await guarded(governed, request("", input=turns))
    assert len(words.asked) == 3 + 5 + 3


async def test_a_hedge_of_the_same_target_does_not_disturb_the_call_before_it() -> None:
    """While the second body is made, the first answer comes in and has its values."""
    asked = request(f"{NAME} is {MAIL}")
    guard = await guarded(governance(Names(delay_s=0.05)), asked)
    await guard.outgoing(CLOUD, asked.body)
    second = asyncio.create_task(guard.outgoing(CLOUD, asked.body))
    await asyncio.sleep(0.01)
    text = {"object": "response", "id": "r", "instructions": "[PERSON_1]"}
    assert NAME in await _read(guard, Body.of(text))
    assert await second == {**asked.body, "input": "[PERSON_1] is [EMAIL_1]"}


async def test_what_counts_is_what_was_replaced_in_what_was_sent() -> None:
    """Not what a target was not sent at all, such as turns that did not fit."""
    turns = [{"role": "user", "content": MAIL}, {"role": "user", "content": "hello"}]
    asked = request("", input=turns)
    guard = await guarded(governance(), asked)
    await guard.outgoing(CLOUD, {**asked.body, "input": turns[1:]})
    assert guard.redactions(CLOUD) == {}
    await guard.outgoing(CLOUD, asked.body)
    assert guard.redactions(CLOUD) == {("EMAIL", "vault"): 1}


async def test_a_part_of_a_value_does_not_hide_the_whole() -> None:
    """A first name that was found alone is not replaced inside the full name."""

    class Parts(Names):
        async def find(self, texts: Sequence[str]) -> list[list[Span]]:
            """The first name in the first text, the whole in the second, nothing in the third."""
            spans = [[Span(0, 3, "PERSON")], [Span(0, 8, "PERSON")], []]
            return spans[: len(texts)]

    said = ["Ann.", f"{NAME}.", f"Dear {NAME}."]
    asked = request("", input=[{"role": "user", "content": each} for each in said])
    guard = await guarded(governance(Parts()), asked)
    sent = (await guard.outgoing(CLOUD, asked.body))["input"]
    assert [each["content"] for each in sent] == ["[PERSON_1].", "[PERSON_2].", "Dear [PERSON_2]."]


async def test_many_values_in_many_texts_take_time_in_proportion() -> None:
    """A long list of customers is no attack on the event loop."""

    class Mails:
        def find(self, text: str) -> list[Span]:
            """Every word with an @."""
            return [
                Span(m.start(), m.end(), "EMAIL") for m in re.finditer(r"\S+@\S+", text)
            ]  # fmt: skip

    said = [" ".join(f"c{turn}x{n}@example.org wrote" for n in range(200)) for turn in range(100)]
    asked = request("", input=[{"role": "user", "content": each} for each in said])
    guard = await guarded(governance(patterns=Mails()), asked)
    began = time.process_time()
    sent = await guard.outgoing(CLOUD, asked.body)
    assert time.process_time() - began < 4
    assert guard.redactions(CLOUD) == {("EMAIL", "vault"): 20_000}
    assert "@" not in str(sent["input"])


async def test_the_mark_of_a_citation_is_nobodys_address() -> None:
    """A model that finds names is wrong at times; what cannot be one is left alone."""

    class Eager(Names):
        async def find(self, texts: Sequence[str]) -> list[list[Span]]:
            """Everything is somebody."""
            return [[Span(0, text.index(" "), "PERSON")] for text in texts]

    said = ["[1] says so", "李 says so", "Al says so", "90210 says so", "7. says so"]
    asked = request("", input=[{"role": "user", "content": each} for each in said])
    guard = await guarded(governance(Eager()), asked)
    sent = (await guard.outgoing(CLOUD, asked.body))["input"]
    assert [each["content"] for each in sent] == [
        "[1] says so",
        "[PERSON_1] says so",
        "[PERSON_2] says so",
        "[PERSON_3] says so",
        "7. says so",
    ]
