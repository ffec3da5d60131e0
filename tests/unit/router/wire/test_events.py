"""Events: the same whatever the split of the bytes; parsed at most once, and only when asked."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire import events as module
from router.wire.events import Body, Event, Events, Splitter, encode

TEXT = st.text(alphabet='ab "\n\\é🙂:', max_size=8)
EVENT = st.one_of(
    st.dictionaries(TEXT, TEXT, max_size=3).map(encode),
    st.dictionaries(TEXT, TEXT, max_size=3).map(lambda found: encode(found, "name")),
    st.sampled_from([b": comment\n\n", b"data: [DONE]\n\n", b"event: ping\ndata: {}\n\n"]),
    TEXT.map(lambda text: b'data: {"a":\ndata: ' + orjson.dumps(text) + b"}\n\n"),
)
STREAM = st.lists(EVENT, min_size=1, max_size=6)


@given(stream=STREAM, data=st.data(), newline=st.sampled_from([b"\n", b"\r\n"]))
def test_any_split_gives_the_same_whole_events(
    stream: list[bytes], data: st.DataObject, newline: bytes
) -> None:
    """Each run ends with an event, nothing is lost or doubled, and JSON is what was said."""
    sent = [event.replace(b"\n", newline) for event in stream]
    raw = b"".join(sent)
    cuts = data.draw(st.lists(st.integers(1, len(raw)), max_size=8, unique=True))
    splitter = Splitter()
    runs = [splitter.feed(raw[a:b]) for a, b in pairwise([0, *sorted(cuts), len(raw)])]
    assert b"".join(run.raw for run in runs) == raw
    found = [event for run in runs for event in run]
    assert [event.raw for event in found] == sent
    assert [event.json for event in found] == [Event(event).json for event in stream]


@given(STREAM)
def test_a_run_knows_its_events(stream: list[bytes]) -> None:
    """Made of bytes or of events it is the same."""
    run = Events(b"".join(stream))
    assert [event.raw for event in run] == stream
    again = Events.of(run)
    assert again.raw == run.raw
    assert run.count() == len(stream)
    assert bool(run)
    assert not Events(b"")


@pytest.mark.parametrize(
    ("raw", "json", "name", "is_done"),
    [
        (b'data: {"a":1}\n\n', {"a": 1}, None, False),
        (b'data:{"a":1}\r\n\r\n', {"a": 1}, None, False),
        (b'event: x\ndata: {"a":\ndata: 1}\n\n', {"a": 1}, "x", False),
        (b'id: 7\ndata: {"a":1}\n\n', {"a": 1}, None, False),
        (b"data: [DONE]\n\n", None, None, True),
        (b": [DONE]\n\n", None, None, False),
        (b'data: {"text":"data: [DONE]"}\n\n', {"text": "data: [DONE]"}, None, False),
    ],
)
def test_what_an_event_says(
    raw: bytes, json: dict[str, int] | None, name: str | None, is_done: bool
) -> None:
    """Name, data over several lines, comments, the end."""
    event = Event(raw)
    assert (event.json, event.name, event.is_done) == (json, name, is_done)
    assert event.object() == json


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b"hello"])
def test_what_is_no_object_is_noticed_by_who_needs_one(data: bytes) -> None:
    """``json`` is None for it; ``object`` raises."""
    event = Event(b"data: " + data + b"\n\n")
    assert event.json is None
    with pytest.raises(ValueError, match="not a JSON object"):
        event.object()


def test_json_is_read_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who holds the event shares what the first one found."""
    read: list[bytes] = []

    def loads(data: bytes) -> object:
        read.append(data)
        return orjson.loads(data)

    class Counting:
        """Stands for orjson."""

        JSONDecodeError = orjson.JSONDecodeError
        dumps = staticmethod(orjson.dumps)

    monkeypatch.setattr(Counting, "loads", staticmethod(loads), raising=False)
    monkeypatch.setattr(module, "orjson", Counting)
    run = Splitter().feed(b'data: {"a":1}\n\ndata: {"b":1}\n\n')
    first, second = run
    assert read == []
    assert first.json is first.json
    assert [event.json for event in run] == [{"a": 1}, {"b": 1}]
    assert len(read) == 2
    assert second.json == {"b": 1}
    made = Event.of({"c": 1}, "name")
    assert made.json == {"c": 1}
    body = Body.of({"d": 1})
    assert body.json is body.json
    assert len(read) == 2


def test_an_event_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 9: an event without end is not collected for ever."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1000)
    splitter = Splitter()
    assert not splitter.feed(b"data: " + b"x" * 900)
    with pytest.raises(ValueError, match="too large"):
        splitter.feed(b"x" * 200)


def test_a_body_is_what_it_is() -> None:
    """An object, other JSON, or none."""
    assert (Body(b'{"a":1}').json, Body(b'{"a":1}').is_json) == ({"a": 1}, True)
    assert (Body(b"[1]").json, Body(b"[1]").is_json) == (None, True)
    assert (Body(b"<html>").json, Body(b"<html>").is_json) == (None, False)


@pytest.mark.parametrize(
    ("raw", "whole"),
    [
        (b'data: {"a": "b"}\n\n', True),
        (b"data: [DONE]\n\n", True),
        (b": a comment\n\n", True),
        ('event: x\ndata: {"a": "é"}\n\n: é\n\n'.encode(), True),
        (b'data: {"a": }\n\n', False),
        (b'data: {"a": "b"\n\n', False),
        (b'data: {"a": "\xff"}\n\n', False),
        (b'data: {"a": "b"}\n\n: \xff\n\n', False),
        (b'event: \xff\ndata: {"a": "b"}\n\n', False),
        (b'data: "a"\n\n', False),
        (b'data: 1\ndata: {"a": "b"}\n\n', False),
        (b'event: x\ndata: {"a": "b"}\n\n', True),
        (b'event: x\ndata: {"a": "b"\n\n', False),
        (b'event: x\r\ndata: {"a": "b"}\r\n\r\nevent: y\r\ndata: {"a":\r\n\r\n', False),
    ],
)
def test_what_a_client_can_read(raw: bytes, whole: bool) -> None:
    """Half a JSON is none, wherever it ends; nor is what is no UTF-8, in a comment too."""
    assert Events(raw).are_whole() is whole
