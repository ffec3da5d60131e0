"""Who deserves a place on a replica."""

from __future__ import annotations

from adapters.publish.placement import NEVER, Heat
from adapters.traffic import VersionTraffic


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_least_recently_used_leaves_first() -> None:
    """Order of leaving is order of last use; what was never used leaves before all."""
    clock = Clock()
    heat = Heat(clock)
    for name in ("a@1", "b@1", "c@1"):
        clock.now += 1
        heat.observe({name: VersionTraffic(requests=1)})
    order = heat.coldest(["c@1", "a@1", "new@1", "b@1"], group_of=lambda n: n, floor=0)
    assert order == ["new@1", "a@1", "b@1", "c@1"]


def test_each_group_keeps_its_floor() -> None:
    """The only adapter of a quiet tenant stays although another's are all hotter."""
    clock = Clock()
    heat = Heat(clock)
    heat.observe({"quiet/a@1": VersionTraffic(requests=1)})
    clock.now += 50
    heat.observe({f"busy/{i}@1": VersionTraffic(requests=9) for i in range(3)})
    names = ["quiet/a@1", "busy/0@1", "busy/1@1", "busy/2@1"]
    leaving = heat.coldest(names, group_of=lambda n: n.split("/")[0], floor=1)
    assert "quiet/a@1" not in leaving
    assert len(leaving) == 2


def test_wanted_names_are_told_and_count_as_use() -> None:
    """A request for a cold version asks for a prefetch and makes it recent."""
    heat = Heat(Clock())
    assert heat.observe({"a@1": VersionTraffic(wanted=1), "b@1": VersionTraffic()}) == {"a@1"}
    assert heat.last_used("a@1") == 100.0
    assert heat.last_used("b@1") == NEVER


def test_names_that_are_gone_are_forgotten() -> None:
    """The table is bounded by what the registry knows (law 9)."""
    heat = Heat(Clock())
    heat.touch("a@1")
    heat.keep({"b@1"})
    assert heat.last_used("a@1") == NEVER
