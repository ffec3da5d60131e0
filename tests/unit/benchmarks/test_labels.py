"""The picture of accuracy by labels."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.labels import Point, picture


def test_the_picture_stands_alone() -> None:
    """A well-formed SVG with a line for each training, one for the teacher, and words for both."""
    points = [
        Point(seed, labels, 10, 1.0, 0.9, 0.5 + labels / 1000)
        for seed in (7, 8)
        for labels in (25, 400)
    ]
    root = ET.fromstring(picture(points, 0.8))
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    assert len(root.findall(f"{name}polyline")) == 3
    said = "".join(root.itertext())
    assert "from 52 % to 90 %" in said
    assert "frontier" in said
