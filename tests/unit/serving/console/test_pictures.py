"""Pictures and differences: what they say in words, and that texts of others are only text."""

from __future__ import annotations

import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from serving.console import alerts, charts, diagrams
from serving.console.charts import Line
from serving.console.diagrams import Node
from serving.console.worddiff import word_diff

HOSTILE = "<script>alert(1)</script>\"'&"
_SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: Markup) -> ET.Element:
    """The picture as a browser reads it."""
    return ET.fromstring(str(picture).replace("<svg ", f'<svg xmlns="{_SVG[1:-1]}" ', 1))


def said(picture: Markup) -> str:
    """Its title and description."""
    found = parsed(picture)
    return f"{found.findtext(f'{_SVG}title')}: {found.findtext(f'{_SVG}desc')}"


@pytest.mark.parametrize(
    "picture",
    [
        charts.meter(HOSTILE, 1, 2),
        charts.lines(HOSTILE, [Line(HOSTILE, 1, [(1, 1.0)])], HOSTILE),
        charts.split(HOSTILE, [charts.Part(HOSTILE, 1, 1)]),
        diagrams.ladder(HOSTILE, {HOSTILE: [HOSTILE]}),
        diagrams.graph(HOSTILE, [[Node(HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))]]),
    ],
)
def test_texts_in_pictures_are_only_text(picture: Markup) -> None:
    """No element comes out of a name, and whoever does not see it is told."""
    assert parsed(picture).find(f".//{_SVG}script") is None
    assert HOSTILE in said(picture)


def test_lines_say_where_they_begin_and_end() -> None:
    """Higher values stand higher; without points it says so."""
    picture = charts.lines("Loss", [Line("loss", 1, [(1, 2.0), (3, 0.5)])], "step")
    assert said(picture) == "Loss: loss from 2 to 0.5"
    (line,) = parsed(picture).iter(f"{_SVG}polyline")
    points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    assert points[0][0] < points[1][0]
    assert points[0][1] < points[1][1]  # SVG counts from above
    assert "nothing yet" in said(charts.lines("Loss", [], "step"))


@pytest.mark.parametrize(
    ("value", "most", "share"), [(1, 4, 25), (9, 4, 100), (1, 0, 0), (-1, 4, 0)]
)
def test_a_meter_is_as_long_as_its_share(value: float, most: float, share: float) -> None:
    """And never longer than it may be."""
    _, bar = parsed(charts.meter("m", value, most)).iter(f"{_SVG}rect")
    assert float(bar.attrib["width"]) == share


def test_a_graph_leads_from_what_it_was_made_of() -> None:
    """One arrow for each parent that is there; a missing one is left out."""
    rows = [
        [Node("a", "base", "tiny"), Node("b", "data", "gold")],
        [Node("c", "v", "x", ("a", "z"))],
    ]
    picture = diagrams.graph("Made", rows)
    assert len(list(parsed(picture).iter(f"{_SVG}line"))) == 1
    assert said(picture) == "Made: base tiny; data gold; v x"


@given(st.text(alphabet="ab \n", max_size=30), st.text(alphabet="ab \n", max_size=30))
def test_a_difference_holds_both_texts(before: str, after: str) -> None:
    """What stays and came is the new text; what stays and went has all words of the old one."""
    pieces = word_diff(before, after)
    new = "".join(piece.text for piece in pieces if piece.tag != "del")
    old = "".join(piece.text for piece in pieces if piece.tag != "ins")
    assert new == after
    assert "".join(old.split()) == "".join(before.split())


def test_a_difference_is_by_words() -> None:
    """A sentence that was replaced is one stretch, not one for each word."""
    assert [tuple(piece) for piece in word_diff("you get 20 days", "you get 30 days now")] == [
        ("span", "you get"),
        ("del", " 20"),
        ("ins", " 30"),
        ("span", " days"),
        ("ins", " now"),
    ]
    assert len(word_diff("it is gone", "he came back")) == 2
    assert word_diff("dear all", "all")[0] == ("del", "dear ")


def test_differences_of_hostile_texts_end_soon() -> None:
    """Long texts of one word are not compared word by word."""
    began = time.thread_time()
    word_diff("a " * 100_000, "a " * 99_999 + "b")
    word_diff("a b " * 240, "b a " * 240)
    assert time.thread_time() - began < 5


def test_alerts_say_what_is_the_matter() -> None:
    """Each with its page; what is well says nothing."""
    failing = [{"status": 500}] * 3 + [{"status": 200}] * 20
    assert [each.level for each in alerts.of_decisions(failing)] == ["problem"]
    assert list(alerts.of_decisions([{"status": 500}] * 3)) == []
    assert list(alerts.of_decisions([{"status": 200}] * 90 + [{"status": None}])) == []
    moved = [{"signal": "intent", "level": "major"}, {"signal": "quality", "level": "none"}]
    assert [each.text for each in alerts.of_drift(moved)] == [
        "Intent moved against the week before."
    ]
    versions = [{"created_at": "1", "state": "quarantined"}, {"created_at": "2", "state": "live"}]
    assert list(alerts.of_adapters([{"alias": "a", "versions": versions}])) == []
    assert len(list(alerts.of_adapters([{"alias": "a", "versions": versions[:1]}]))) == 1
    ended = [
        {"id": "2", "alias": "a", "state": "live"},
        {"id": "1", "alias": "a", "state": "failed"},
        {"id": "0", "alias": "b", "state": "refused", "reason": "3 items are missing"},
    ]
    assert [each.link for each in alerts.of_distillations(ended)] == ["/distillations/0"]
    spent = {"budget": "month", "tenant": "acme", "limit": 10.0}
    budgets = [{**spent, "spent": 9.5}, {**spent, "spent": 11}, {**spent, "spent": 1}]
    assert [each.level for each in alerts.of_budgets(budgets)] == ["warning", "problem"]
    assert [a.level for a in alerts.of_replicas([{"ready": False}])] == ["problem"]
    assert list(alerts.of_replicas([{"ready": True}, {"ready": False}])) == []
    assert list(alerts.of_reviews([{}], 2)) == []
    assert len(list(alerts.of_reviews([{}, {}], 2))) == 1
