"""AWS's binary streams: cut from any bytes, bounded, damage found."""

from __future__ import annotations

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from router.wire.aws.event_stream import BadFrame, Frame, Frames
from router.wire.events import MAX_EVENT_BYTES
from tests.fakes.frontier_bedrock import framed

NAMES = st.text("abc-:", min_size=1, max_size=9)
FRAMES = st.lists(
    st.tuples(st.dictionaries(NAMES, st.text(max_size=20), max_size=3), st.binary(max_size=60)),
    max_size=5,
)


def prelude(size: int, headers: int) -> bytes:
    """The first twelve bytes of a frame."""
    begun = struct.pack(">II", size, headers)
    return begun + struct.pack(">I", zlib.crc32(begun))


def with_headers(raw: bytes) -> bytes:
    """A frame with these headers and no payload."""
    begun = prelude(16 + len(raw), len(raw)) + raw
    return begun + struct.pack(">I", zlib.crc32(begun))


@given(FRAMES, st.lists(st.integers(1, 90), max_size=30))
def test_however_the_bytes_arrive(
    said: list[tuple[dict[str, str], bytes]], cuts: list[int]
) -> None:
    """The frames are the same, and botocore's own parser reads the same ones."""
    raw = b"".join(framed(headers, payload) for headers, payload in said)
    found: list[Frame] = []
    frames, at = Frames(), 0
    for size in [*cuts, len(raw)]:
        found += frames.feed(raw[at : at + size])
        at += size
    assert found == [Frame(headers, payload) for headers, payload in said]
    theirs = EventStreamBuffer()
    theirs.add_data(raw)
    assert [(each.headers, each.payload) for each in theirs] == said


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_is_found(place: int, change: int) -> None:
    """Whichever it is: the frame is never read, and those before it are."""
    good, bad = framed({":event-type": "a"}, b"one"), bytearray(framed({":x": "b"}, b"two"))
    bad[place % len(bad)] ^= change
    found: list[Frame] = []
    frames = Frames()
    with pytest.raises(BadFrame):
        found.extend(frames.feed(good + bad + bytes(64)))
    assert found == [Frame({":event-type": "a"}, b"one")]


def test_headers_of_every_type_are_passed_over() -> None:
    """Only texts are kept."""
    raw = b"".join(
        bytes([1]) + name + bytes([kind]) + value
        for name, kind, value in (
            (b"a", 0, b""),
            (b"b", 1, b""),
            (b"c", 2, b"1"),
            (b"d", 3, b"12"),
            (b"e", 4, b"1234"),
            (b"f", 5, b"12345678"),
            (b"g", 6, b"\0\2xy"),
            (b"h", 7, b"\0\2ok"),
            (b"i", 8, b"12345678"),
            (b"j", 9, b"1234567812345678"),
        )
    )
    assert list(Frames().feed(with_headers(raw))) == [Frame({"h": "ok"}, b"")]


@pytest.mark.parametrize(
    "raw",
    [
        prelude(MAX_EVENT_BYTES + 1, 0),
        prelude(20, 90),
        prelude(4, 0),
        b"data: {}\n\ndata: ",
        with_headers(b"\1a\7\0\x09ab"),
        with_headers(b"\1a\x2a"),
        with_headers(b"\1\xff\0"),
        with_headers(b"\1"),
    ],
)
def test_what_is_no_frame_is_refused(raw: bytes) -> None:
    """Too large at its first bytes, of a wrong shape, or of another protocol."""
    with pytest.raises(BadFrame):
        list(Frames().feed(raw))
