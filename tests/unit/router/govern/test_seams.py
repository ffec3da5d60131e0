"""Values that go over several parts of a message: in no part, and back as they were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from router.config.governance import GovernanceConfig
from router.govern.detect import Span
from router.govern.detectors import detectors
from router.govern.governance import Governance
from router.govern.seams import Run, runs
from router.wire.texts import survey
from tests.unit.router.govern.test_guard import CLOUD, MAIL, Names, governance, guarded, request

VALUES = ("ann.planted@example.org", "4111 1111 1111 1111", "DE89370400440532013000")


def _parts(said: str, cuts: set[int]) -> list[dict[str, str]]:
    ends = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    return [{"type": "input_text", "text": said[start:end]} for start, end in pairwise(ends)]


@given(value=st.sampled_from(VALUES), cuts=st.sets(st.integers(1, 40), max_size=8))
@example(value=VALUES[0], cuts={*range(1, 41)})
@example(value=VALUES[1], cuts={*range(1, 41)})
async def test_wherever_it_is_cut_no_piece_is_left(value: str, cuts: set[int]) -> None:
    """Of the value nothing remains, and one value counts once."""
    governed = Governance(GovernanceConfig(), detectors(), lambda each: each.encode().hex())
    said = f"It is {value} now."
    parts = _parts(said, cuts)
    asked = request("", input=[{"role": "user", "content": parts}])
    guard = await guarded(governed, asked)
    sent = (await guard.outgoing(CLOUD, asked.body))["input"][0]["content"]
    texts = [each["text"] for each in sent]
    rest = re.sub(r"\[[A-Z_]+_\d+\]", "", "".join(texts))
    assert len(rest.replace(" ", "")) <= len(
        "Itisnow."
    )  # a letter that is a part may be a piece elsewhere, too
    assert sum(guard.redactions(CLOUD).values()) == 1
    assert guard.restored(CLOUD, "".join(texts)) == said


async def test_a_name_is_looked_for_where_a_sentence_goes_on() -> None:
    """In a word or between two, and not in all of a long text once more."""
    names = Names()
    before, after = "Long. " * 400, " Long." * 400
    for first, second in (("Ann B", "one"), ("Ann ", "Bone"), ("Ann", " Bone")):
        asked = request("", input=[{"role": "user", "content": [
            {"type": "input_text", "text": before + first},
            {"type": "input_text", "text": second + after},
        ]}])  # fmt: skip
        guard = await guarded(governance(names), asked)
        sent = orjson.dumps(await guard.outgoing(CLOUD, asked.body)).decode()
        assert "Ann" not in sent
        assert "one" not in sent
    assert max(map(len, names.asked)) > 2400  # the texts themselves
    around = [each for each in names.asked if "Ann B" in each and "one" in each]
    assert {len(each) for each in around} == {320}


async def test_what_only_stands_side_by_side_is_no_name() -> None:
    """The end of one sentence and the beginning of the next."""
    asked = request("", input=[{"role": "user", "content": [
        {"type": "input_text", "text": "to Ann"},
        {"type": "input_text", "text": "Bone Street"},
    ]}])  # fmt: skip

    class Glued(Names):
        async def find(self, texts: Sequence[str]) -> list[list[Span]]:
            """A name that nobody wrote."""
            return [[Span(3, 10, "PERSON")] if "AnnBone" in each else [] for each in texts]

    guard = await guarded(governance(Glued()), asked)
    assert (await guard.outgoing(CLOUD, asked.body))["input"] == asked.body["input"]


def test_only_the_parts_of_one_message_are_one_text() -> None:
    """Not two messages, two roles, two results, or values of JSON."""
    text = {"type": "text", "text": "a"}
    body = {
        "messages": [
            {"role": "user", "content": [text, {"type": "image_url"}, text]},
            {"role": "user", "content": [text]},
            {"role": "user", "content": "a"},
            {"role": "user", "content": "a"},
            {"role": "tool", "tool_call_id": "1", "content": '{"text": "a", "more": ["a", "a"]}'},
            {"role": "tool", "tool_call_id": "2", "content": [text, text]},
            {"role": "tool", "tool_call_id": "3", "content": [text]},
        ],
        "metadata": {"text": "a", "content": "a"},
    }
    assert [run.text for run in runs(survey(body).texts)] == ["aa", "aa"]


def test_windows_that_overlap_are_one() -> None:
    """So what is read is never more than there is."""
    run = Run(["a "] * 1000)
    [window] = run.windows()
    assert window.text == run.text


async def test_the_pieces_of_a_value_are_ordinary_words_elsewhere() -> None:
    """What a model says of them comes back, and other texts keep them."""
    asked = request("", input=[
        {"role": "user", "content": [
            {"type": "input_text", "text": "ann@"},
            {"type": "input_text", "text": "example.org"},
        ]},
        {"role": "user", "content": "What is example.org?"},
    ])  # fmt: skip
    guard = await guarded(governance(), asked)
    sent = await guard.outgoing(CLOUD, asked.body)
    first, second = sent["input"]
    assert [each["text"] for each in first["content"]] == ["[EMAIL_1]", "[EMAIL_2]"]
    assert second["content"] == "What is example.org?"
    assert guard.restored(CLOUD, "[EMAIL_1][EMAIL_2]") == "ann@example.org"


async def test_a_placeholder_that_is_typed_over_two_parts_is_the_clients_own() -> None:
    """What a model says of it is not taken for a value."""
    asked = request("", input=[{"role": "user", "content": [
        {"type": "input_text", "text": "Say [EMA"},
        {"type": "input_text", "text": f"IL_1] to {MAIL}"},
    ]}])  # fmt: skip
    guard = await guarded(governance(), asked)
    sent = (await guard.outgoing(CLOUD, asked.body))["input"][0]["content"]
    assert [each["text"] for each in sent] == ["Say [EMA", "IL_1] to [EMAIL_2]"]
    assert guard.restored(CLOUD, "[EMAIL_1] to [EMAIL_2]") == f"[EMAIL_1] to {MAIL}"
