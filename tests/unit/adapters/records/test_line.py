"""A record's line: canonical, chained as RFC 6962's leaves, and nothing that names a person."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.records import payloads
from adapters.records.line import (
    Entry,
    Kind,
    canonical,
    iso,
    read_line,
    recomputed,
    recorded,
    seal,
    seconds,
)
from adapters.records.reader import Position, RecordCursor

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_is_that_of_rfc_8785(value: Any) -> None:
    """As an independent serialiser writes it: sorted, no spaces, UTF-8, the shortest escapes."""
    try:
        expected = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    except UnicodeEncodeError:
        return
    assert canonical(value) == expected


@pytest.mark.parametrize("value", [1.5, 2**53 + 1, {"ü": 1}, {"a": [object()]}])
def test_what_other_readers_would_write_otherwise_is_refused(value: Any) -> None:
    """A hash over it could not be checked elsewhere."""
    with pytest.raises(ValueError, match=r"record"):
        canonical(value)


def test_the_hash_is_that_of_an_rfc_6962_leaf_over_the_rest() -> None:
    """Recomputed from the line alone, as an auditor would with his own tools."""
    entry = Entry(Kind.BEGIN, 1_700_000_000.25, "req_1", "dec_1", "app", {"tenant": "shop"})
    line, record = seal(entry, "one", 7, "ab" * 32, None)
    told = json.loads(line)
    assert told == record
    found = told.pop("hash")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found == hashlib.sha256(b"\x00" + text.encode()).hexdigest()
    assert told.keys() >= {"writer", "sequence", "time", "kind", "request_id", "decision_id"}
    assert told.keys() >= {"actor", "commitment", "prev"}
    assert told["time"] == "2023-11-14T22:13:20.250000Z"
    assert seconds(told["time"]) == entry.at
    assert seconds(iso(1.5)) == 1.5


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=1))
def test_a_changed_line_does_not_pass(place: int, other: bytes) -> None:
    """Whichever byte changes, and wherever the line is torn."""
    line, record = seal(Entry(Kind.ADMIN, 1.0, actor="boss"), "one", 0, "0" * 64, None)
    line = line[:-1]
    place %= len(line)
    damaged = line[:place] + other + line[place + 1 :]
    assert read_line(line[:place]) is None
    found = read_line(damaged)
    assert (
        damaged == line
        or found is None
        or recomputed(found) != record["hash"]
        or (found["hash"] != record["hash"])
    )


def test_a_commitment_tells_nothing_of_its_payload_and_holds_it() -> None:
    """Equal payloads have different commitments; the salt beside the payload proves each."""
    one, first = payloads.line(3, b'{"id":"dec_1"}')
    two, second = payloads.line(4, b'{"id":"dec_1"}')
    assert first != second
    kept = payloads.read(one[:-1])
    assert kept == payloads.KeptPayload(3, b'{"id":"dec_1"}', first)
    changed = payloads.read(two[:-1].replace(b"dec_1", b"dec_2"))
    assert changed is not None
    assert changed.commitment != second
    assert payloads.read(one[:-5]) is None


@given(st.floats(1.7e9, 1.9e9))
def test_a_list_goes_on_after_the_record_that_a_page_ended_with(at: float) -> None:
    """An index has times as the clock gives them, a cursor as records do: to the microsecond."""
    told = seconds(iso(at))
    assert recorded(at) == told
    record = {"sequence": 4}
    cursor = RecordCursor(told, "router-1", record["sequence"])
    assert not cursor.is_before(Position(recorded(at), "router-1", 0, 4), record)
