"""The window on answers: nothing leaves before the checks let it, however the bytes were cut."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import RouterError, TargetBroken
from router.govern.safety.answers import STEP, ClassifiedAnswer
from router.govern.safety.checks import Case, Finding
from router.govern.window import (
    MAX_HELD_BYTES,
    MAX_HELD_CHARS,
    MAX_PLACES,
    CheckedAnswer,
    OutputCheck,
    Violation,
)
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Body, Event, Events, Piece, Splitter
from router.wire.formats import FORMATS
from router.wire.kinds import Kind
from router.wire.spoken import Place
from tests.fakes.frontier_answers import Reply, ToolCall, whole
from tests.fakes.frontier_streams import streamed

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
WITH_CALLS = ["/v1/chat/completions", "/v1/messages"]


class Answer:
    """An answer that came in these pieces; breaks at the end if it is to."""

    status = 200

    def __init__(self, pieces: Sequence[Piece], *, breaks: bool = False) -> None:
        self.content_type = (
            "application/json" if isinstance(pieces[0], Body) else ("text/event-stream")
        )
        self.usage = Usage()
        self.read = 0
        self.closed = False
        self._pieces = pieces
        self._breaks = breaks

    async def chunks(self) -> AsyncIterator[Piece]:
        """One after the other."""
        for piece in self._pieces:
            self.read += 1
            yield piece
        if self._breaks:
            raise TargetBroken("gone")

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True


class Reads:
    """Lets everything pass, and remembers what it saw."""

    def __init__(self, hold: int = 0, lets_pass: int = 0) -> None:
        self.hold = hold
        self.lets_pass = lets_pass
        self.seen: dict[Place, str] = defaultdict(str)
        self.pieces: list[str] = []
        self.ends: list[Place] = []

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """All may leave but the newest."""
        self.seen[place] += text
        self.pieces.append(text)
        if ended:
            self.ends.append(place)
        return min(self.hold, len(self.seen[place]))

    def said(self, kind: Kind = Kind.TEXT) -> str:
        """All texts of a kind."""
        return "".join(text for place, text in self.seen.items() if place.kind is kind)


class Forbids:
    """A word that must not leave, in any part of it."""

    lets_pass = 0

    def __init__(self, word: str, *, retryable: bool = False) -> None:
        self._word = word
        self._retryable = retryable
        self._tail: dict[Place, str] = defaultdict(str)

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """Holds what may be the word's beginning."""
        tail = self._tail[place] + text
        if self._word in tail:
            raise Violation("not that word", retryable=self._retryable)
        self._tail[place] = tail[-len(self._word) :]
        beginnings = range(min(len(self._word) - 1, len(tail)), 0, -1)
        return next((n for n in beginnings if tail.endswith(self._word[:n])), 0)


def cut(raw: bytes, sizes: Sequence[int]) -> list[Piece]:
    """The stream as it arrives in reads of these sizes, over and over."""
    splitter, pieces, place, turn = Splitter(), [], 0, 0
    while place < len(raw):
        size = sizes[turn % len(sizes)]
        run = splitter.feed(raw[place : place + size])
        if run:
            pieces.append(run)
        place, turn = place + size, turn + 1
    return list(pieces)


def stream(path: str, pieces: list[str], sizes: Sequence[int] = (10_000,)) -> list[Piece]:
    """A streamed answer of these tokens."""
    reply = Reply("m", pieces)
    return cut(b"".join(streamed(path, {"model": "m", "stream": True}, reply)), sizes)


def checked(path: str, answer: Answer, *checks: OutputCheck) -> CheckedAnswer:
    """The answer behind these checks."""
    return CheckedAnswer(answer, FORMATS[Endpoint(path)], checks)


async def left(window: CheckedAnswer) -> tuple[bytes, RouterError | None]:
    """What reached the client, and what ended it."""
    out = bytearray()
    try:
        async for piece in window.chunks():
            out += piece.raw
    except RouterError as error:
        return bytes(out), error
    return bytes(out), None


def text_of(path: str, raw: bytes) -> str:
    """The text in a stream's deltas."""
    wire, found = FORMATS[Endpoint(path)], []
    for event in Events(raw):
        if event.json is not None:
            found += [said.text for said in wire.said(event.json) if not said.whole]
    return "".join(found)


LETTERS = st.characters(codec="utf-8", exclude_characters="§")  # begins the word that is looked for
TOKENS = st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=25)
SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)


@pytest.mark.parametrize("path", PATHS)
@given(tokens=TOKENS, sizes=SIZES, hold=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
async def test_what_passes_passes_unchanged_and_is_all_read(
    path: str, tokens: list[str], sizes: list[int], hold: int
) -> None:
    """Bytes, order and text, for every API and every cut."""
    pieces = stream(path, tokens, sizes)
    check = Reads(hold)
    out, error = await left(checked(path, Answer(pieces), check))
    assert error is None
    assert out == b"".join(piece.raw for piece in pieces)
    assert check.said() == "".join(tokens)


@pytest.mark.parametrize("path", PATHS)
@given(tokens=TOKENS, sizes=SIZES, before=st.integers(0, 25))
@settings(max_examples=60, deadline=None)
async def test_no_part_of_a_forbidden_word_leaves_a_stream(
    path: str, tokens: list[str], sizes: list[int], before: int
) -> None:
    """Text before it may have left, and the stream has no proper end."""
    tokens = [*tokens[:before], "§", "SE", "CR", "ET", "§", *tokens[before:]]
    out, error = await left(checked(path, Answer(stream(path, tokens, sizes)), Forbids("§SECRET§")))
    assert isinstance(error, Violation)
    assert error.status == 403
    said = text_of(path, out)
    assert "".join(tokens[:before]).startswith(said.split("§")[0])
    assert "SE" not in said.split("§")[-1] or "SE" in "".join(tokens[:before])
    assert not FORMATS[Endpoint(path)].ends(out)
    assert b'"stop"' not in out


@pytest.mark.parametrize("path", PATHS)
async def test_who_lets_pass_is_shown_a_stream_in_larger_pieces_up_to_its_end(path: str) -> None:
    """And nothing waits for that."""
    pieces = stream(path, list("abcdefghijklmnopqrstuvw"), [1])
    answer, check = Answer(pieces), Reads(lets_pass=9)
    window = checked(path, answer, check)
    await window.begin()
    assert (check.pieces, check.said()) == ([], "")
    assert answer.read < len(pieces) / 2
    out, error = await left(window)
    assert error is None
    assert out == b"".join(piece.raw for piece in pieces)
    assert check.pieces == ["abcdefghij", "klmnopqrst", "uvw"]


@pytest.mark.parametrize("path", PATHS)
@given(tokens=TOKENS, sizes=SIZES, hold=st.integers(1, 40), lets_pass=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
async def test_what_a_check_wants_to_wait_waits_whatever_it_lets_pass(
    path: str, tokens: list[str], sizes: list[int], hold: int, lets_pass: int
) -> None:
    """Only what it was not shown has left before it said so."""
    check = Reads(hold, lets_pass)
    window, said = checked(path, Answer(stream(path, tokens, sizes)), check), ""
    async for piece in window.chunks():
        said += text_of(path, piece.raw)
        if not check.ends:
            assert len(said) <= max(0, len(check.said()) - hold) + lets_pass
    assert said == check.said() == "".join(tokens)


@pytest.mark.parametrize("path", PATHS)
async def test_a_word_does_not_leave_because_another_check_lets_it_pass(path: str) -> None:
    """Who holds nothing back does not speak for who does."""
    pieces = stream(path, ["fine ", "SEC", "RET"], [1])
    out, error = await left(checked(path, Answer(pieces), Reads(lets_pass=50), Forbids("SECRET")))
    assert isinstance(error, Violation)
    assert text_of(path, out) == "fine "


class Judges:
    """A classifier that finds nothing, and remembers what it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def judge(self, case: Case) -> list[Finding]:
        """Nothing."""
        self.read += [passage.text for passage in case.passages]
        return []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("words", [5, 40])
async def test_the_last_words_of_a_stream_are_judged_too(path: str, words: int) -> None:
    """Also of one that is shorter than a step."""
    tokens = [f"word{n} " for n in range(words)]
    judges = Judges()
    check = ClassifiedAnswer(judges, lambda _: None)
    _, error = await left(checked(path, Answer(stream(path, tokens, [1])), check))
    assert error is None
    assert judges.read[-1].endswith(f"word{words - 1} ")
    assert len(judges.read) <= len("".join(tokens)) // STEP + 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_violation_at_the_beginning_is_raised_before_anything_left(path: str) -> None:
    """It can still be answered with a status, or be asked again."""
    pieces = stream(path, ["SEC", "RET", " and more"], [1])
    window = checked(path, Answer(pieces), Forbids("SECRET", retryable=True))
    with pytest.raises(Violation) as found:
        await window.begin()
    assert found.value.retryable
    out, error = await left(checked(path, Answer(pieces), Forbids("SECRET")))
    assert out == b""
    assert isinstance(error, Violation)


@pytest.mark.parametrize("path", PATHS)
async def test_begin_returns_with_the_first_text_and_loses_nothing(path: str) -> None:
    """The rest of the stream is not waited for."""
    pieces = stream(path, ["a", "b", "SECRET"], [1])
    answer = Answer(pieces)
    window = checked(path, answer, Forbids("SECRET"))
    await window.begin()
    assert answer.read < len(pieces)
    out, error = await left(window)
    assert text_of(path, out) == "ab"
    assert isinstance(error, Violation)


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_answer_is_checked_before_any_of_it_leaves(path: str) -> None:
    """A whole answer has the same checks and the same texts."""
    reply = Reply("m", ["this is ", "SEC", "RET"])
    body = Body(orjson.dumps(whole(path, {"model": "m"}, reply)))
    window = checked(path, Answer([body]), Forbids("SECRET"))
    with pytest.raises(Violation):
        await window.begin()
    out, error = await left(checked(path, Answer([body]), check := Reads()))
    assert (out, error) == (body.raw, None)
    assert check.said() == "this is SECRET"


@pytest.mark.parametrize("path", WITH_CALLS)
@pytest.mark.parametrize("is_stream", [True, False])
async def test_arguments_of_tools_are_answer(path: str, is_stream: bool) -> None:
    """Numbers in them, too, whether streamed or whole."""
    call = ToolCall("call_1", "send", {"text": "it is SECRET", "n": 25})
    reply = Reply("m", [], [call], finish="tool_calls")
    pieces: list[Piece]
    if is_stream:
        raw = b"".join(streamed(path, {"model": "m"}, reply))
        pieces = cut(raw, [7])
    else:
        raw = orjson.dumps(whole(path, {"model": "m"}, reply))
        pieces = [Body(raw)]
    _, error = await left(checked(path, Answer(pieces), Forbids("SECRET")))
    assert isinstance(error, Violation)
    check = Reads()
    assert await left(checked(path, Answer(pieces), check)) == (raw, None)
    assert '"n":25' in check.said(Kind.ARGUMENTS)


async def test_escapes_in_arguments_are_read_also_when_they_are_cut() -> None:
    """An escaped letter is the letter, whatever the cut."""
    escaped = r'{"a":"\u0053ECRET\n\\"}'
    deltas = [
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": each}}]}}
        for each in escaped
    ]
    events = [Event.of({"choices": [delta]}) for delta in deltas]
    pieces = [Events.of([event]) for event in [*events, Event(b"data: [DONE]\n\n")]]
    check = Reads()
    await left(checked("/v1/chat/completions", Answer(pieces), check))
    assert check.said(Kind.ARGUMENTS) == '{"a":"SECRET\n\\"}'
    _, error = await left(checked("/v1/chat/completions", Answer(pieces), Forbids("SECRET")))
    assert isinstance(error, Violation)


def chunk(**delta: Any) -> Event:
    """One chunk of chat."""
    number = delta.pop("choice", 0)
    return Event.of({"choices": [{"index": number, "delta": delta, "finish_reason": None}]})


DONE = Event(b"data: [DONE]\n\n")


async def test_several_choices_are_several_texts() -> None:
    """A word spread over two choices is no word; within one it is."""
    events = [chunk(choice=n % 2, content=c) for n, c in enumerate("SXEXCXRXEXTX")]
    answer = Answer([Events.of([event]) for event in [*events, DONE]])
    _, error = await left(checked("/v1/chat/completions", answer, Forbids("SECRET")))
    assert isinstance(error, Violation)
    check = Reads()
    answer = Answer([Events.of([event]) for event in [*events, DONE]])
    await left(checked("/v1/chat/completions", answer, check))
    assert check.seen[Place(0, Kind.TEXT)] == "SECRET"
    assert check.seen[Place(1, Kind.TEXT)] == "XXXXXX"


async def test_reasoning_refusals_and_fields_that_nobody_knows_are_read_too() -> None:
    """Whatever reaches the client was looked at."""
    for field in ("reasoning_content", "reasoning", "refusal", "thoughts", "content"):
        answer = Answer([Events.of([chunk(**{field: "it is SECRET"}), DONE])])
        _, error = await left(checked("/v1/chat/completions", answer, Forbids("SECRET")))
        assert isinstance(error, Violation), field
    top = Event.of({"choices": [], "citations": ["SECRET"]})
    answer = Answer([Events.of([chunk(content="x"), top, DONE])])
    _, error = await left(checked("/v1/chat/completions", answer, Forbids("SECRET")))
    assert isinstance(error, Violation)


async def test_a_text_ends_when_something_else_begins_in_its_choice() -> None:
    """What waited for more is decided on then, not at the end of the stream."""
    events = [chunk(reasoning_content="SEC"), chunk(content="an answer"), chunk(content=" more")]
    check = Reads(hold=1_000)
    answer = Answer([Events.of([event]) for event in [*events, DONE]])
    await left(checked("/v1/chat/completions", answer, check))
    assert check.ends == [Place(0, Kind.REASONING), Place(0, Kind.TEXT)]


async def test_text_that_only_the_last_events_of_a_response_tell_is_checked() -> None:
    """A provider that streams no deltas is checked all the same."""
    path = "/v1/responses"
    events = [
        event
        for event in Events(b"".join(piece.raw for piece in stream(path, ["it is ", "SECRET"])))
        if event.json is None or not str(event.json["type"]).endswith("output_text.delta")
    ]
    _, error = await left(checked(path, Answer([Events.of(events)]), Forbids("SECRET")))
    assert isinstance(error, Violation)


async def test_the_error_of_a_response_goes_on_with_its_numbers() -> None:
    """Official SDKs count them."""
    path = "/v1/responses"
    answer = Answer(stream(path, ["a", "b", "SECRET"], [1]))
    out, error = await left(checked(path, answer, Forbids("SECRET")))
    assert error is not None
    assert error.sequence == FORMATS[Endpoint(path)].next_number(out) > 1


@pytest.mark.parametrize("path", PATHS)
async def test_the_window_never_holds_the_whole_answer(path: str) -> None:
    """A check that holds everything has to decide on a bounded part of it."""
    tokens = ["word "] * (3 * MAX_HELD_CHARS // 5)
    answer = Answer(stream(path, tokens, [500]))
    window = checked(path, answer, check := Reads(hold=10**9))
    await window.begin()
    assert len(check.said()) <= MAX_HELD_CHARS + 500
    out, error = await left(window)
    assert error is None
    assert text_of(path, out) == "".join(tokens)


async def test_events_of_many_bytes_and_few_words_do_not_fill_the_memory() -> None:
    """The bound counts bytes, too."""
    padding = "x" * (MAX_HELD_BYTES // 4)
    events = [
        Event.of({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": padding}]})
        for _ in range(12)
    ]
    answer = Answer([Events.of([event]) for event in [*events, DONE]])
    window = checked("/v1/chat/completions", answer, Reads(hold=1_000))
    await window.begin()
    assert answer.read <= 5


async def test_more_places_than_an_answer_has_end_it() -> None:
    """What a window remembers of each is bounded."""
    calls = [{"index": n, "function": {"arguments": "{"}} for n in range(MAX_PLACES + 2)]
    answer = Answer([Events.of([chunk(tool_calls=calls), DONE])])
    out, error = await left(checked("/v1/chat/completions", answer, Reads()))
    assert isinstance(error, TargetBroken)
    assert out == b""


@pytest.mark.parametrize(
    "calls",
    [
        "a SECRET",
        {"index": 0, "function": {"arguments": "a SECRET"}},
        ["a SECRET"],
        [{"index": 0, "function": "a SECRET"}],
        [{"index": 0, "custom": ["a SECRET"]}],
        {"function": {"arguments": {"a": "SECRET"}}},
    ],
)
async def test_calls_of_an_odd_shape_are_read_all_the_same(calls: Any) -> None:
    """A target does not get past the checks by a shape that no API has."""
    run = Events.of([Event.of({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})])
    out, error = await left(checked("/v1/chat/completions", Answer([run]), Forbids("SECRET")))
    assert (out, type(error)) == (b"", Violation)


ODD: list[tuple[str, Any]] = [
    ("/v1/chat/completions", {"choices": "a SECRET"}),
    ("/v1/chat/completions", {"choices": ["a SECRET"]}),
    ("/v1/chat/completions", {"choices": [{"index": 0, "delta": "a SECRET"}]}),
    (
        "/v1/chat/completions",
        {"choices": [{"index": 0, "delta": {}, "message": {"content": "a SECRET"}}]},
    ),
    ("/v1/messages", {"type": "message_start", "message": "a SECRET"}),
    ("/v1/messages", {"type": "message_start", "message": {"content": "a SECRET"}}),
    ("/v1/messages", {"type": "message_start", "message": {"content": ["a SECRET"]}}),
    ("/v1/messages", {"type": "content_block_start", "index": 0, "content_block": "a SECRET"}),
    ("/v1/messages", {"type": "content_block_delta", "index": 0, "delta": ["a SECRET"]}),
    ("/v1/responses", {"type": "response.content_part.done", "part": "a SECRET"}),
    ("/v1/responses", {"type": "response.output_item.done", "item": ["a SECRET"]}),
    ("/v1/responses", {"type": "response.completed", "response": "a SECRET"}),
    ("/v1/responses", {"type": "response.completed", "response": {"output": "a SECRET"}}),
    (
        "/v1/responses",
        {
            "type": "response.output_item.done",
            "item": {"type": "message", "content": "a SECRET"},
            "part": {"type": "output_text", "text": ""},
        },
    ),
]


@pytest.mark.parametrize(("path", "event"), ODD, ids=lambda value: str(value)[:70])
async def test_answers_of_an_odd_shape_are_read_all_the_same(path: str, event: Any) -> None:
    """As calls are: whatever stands where the API has something else."""
    run = Events.of([Event.of(event, event.get("type", ""))])
    _, error = await left(checked(path, Answer([run]), Forbids("SECRET")))
    assert type(error) is Violation


async def test_a_message_beside_a_delta_repeats_what_was_said() -> None:
    """Some providers tell all of it once more in every chunk."""
    said = "a bc def "
    chunks = [
        {"index": 0, "delta": {"content": piece}, "message": {"content": said[: end + 1]}}
        for end, piece in enumerate(said)
    ]
    events = Events.of([*(Event.of({"choices": [each]}) for each in chunks), DONE])
    out, error = await left(checked("/v1/chat/completions", Answer([events]), Forbids("a a")))
    assert error is None
    assert out == events.raw


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {not json\n\n",
        b"data: [1]\n\n",
        b'data: {"choices": [{"delta": {"tool_calls": {"a": 7}, "content": 7}}, 7], "x": NaN}\n\n',
    ],
)
async def test_what_cannot_be_read_does_not_leave(odd: bytes) -> None:
    """Neither a broken event nor a broken body."""
    answer = Answer([Events(odd + DONE.raw)])
    out, error = await left(checked("/v1/chat/completions", answer, Reads()))
    assert isinstance(error, TargetBroken)
    assert out == b""
    whole_answer = Answer([Body(odd[6:])])
    out, error = await left(checked("/v1/chat/completions", whole_answer, Forbids("SECRET")))
    assert error is not None
    assert out == b""


@pytest.mark.parametrize("path", PATHS)
async def test_when_the_target_breaks_what_was_said_is_checked_and_leaves_first(path: str) -> None:
    """The text before the break is the client's, if it may be."""
    pieces = stream(path, ["a", "b", "c", "d"], [1])
    broken = [piece for piece in pieces if not FORMATS[Endpoint(path)].ends(piece.raw)]
    out, error = await left(checked(path, Answer(broken, breaks=True), Reads(hold=100)))
    assert isinstance(error, TargetBroken)
    assert text_of(path, out) == "abcd"
    out, error = await left(
        checked(path, Answer(stream(path, ["SEC", "RET"])[:1], breaks=True), Forbids("SECRET"))
    )
    assert isinstance(error, Violation)
    window = checked(path, Answer([Events(b": ping\n\n")], breaks=True), Reads())
    with pytest.raises(TargetBroken):
        await window.begin()


async def test_a_stream_of_32_tokens_costs_microseconds() -> None:
    """Behind a check that lets it pass: less than 20 microseconds an event, parsing included."""
    path = PATHS[0]
    raws = [piece.raw for piece in stream(path, ["word "] * 32, [200])]
    best = 1.0
    for _ in range(30):
        answer = Answer([Events(raw) for raw in raws])
        began = time.perf_counter()
        out, _ = await left(checked(path, answer, Forbids("SECRET")))
        best = min(best, time.perf_counter() - began)
        assert out == b"".join(raws)
    assert best < 34 * 20e-6


async def test_without_checks_nothing_is_parsed() -> None:
    """The very same objects pass."""
    runs = [Events(b"data: {not json\n\n"), Events(b"data: [DONE]\n\n")]
    window = checked(PATHS[0], Answer(runs))
    await window.begin()
    assert [piece async for piece in window.chunks()] == runs
