"""``kill -9`` of the registry between a delivery and its acknowledgement: nothing lost or twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes.corpus import corpus, exchange

_TAKER = """
import sys
from tests.fakes.corpus import corpus, exchange

with corpus(sys.argv[1]) as (exchanges, _):
    for batch in range(100_000):
        exchanges.take_all(
            [exchange(f"Question {batch} {n}?", decision_id=f"d_{batch}_{n}") for n in range(5)]
        )
        print(batch, flush=True)
"""


def test_a_delivery_that_was_taken_is_durable_and_counts_once(tmp_path: Path) -> None:
    """What was acknowledged is there; all of it delivered again changes no count."""
    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    child = subprocess.Popen([sys.executable, "-c", _TAKER, url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = -1
    try:
        for _ in range(10):
            acknowledged = int(child.stdout.readline())
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    child.stdout.close()
    with corpus(url) as (exchanges, _):
        assert exchanges.tally()[0] >= 5 * (acknowledged + 1)
        for batch in range(acknowledged + 3):
            again = [
                exchange(f"Question {batch} {n}?", decision_id=f"d_{batch}_{n}") for n in range(5)
            ]
            exchanges.take_all(again)
        found = exchanges.page(limit=1000).exchanges
        assert {each.count for each in found} == {1}
        assert {each.decision_id for each in found} >= {
            f"d_{batch}_{n}" for batch in range(acknowledged + 3) for n in range(5)
        }
