"""What a killed router may have used is found by another, and given back once, and only then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router.budgets.accounts import BudgetAccount, Metric
from router.budgets.authority import AuthorityUnreachable, LeaseAnswer, LeaseAsk, LocalAuthority
from router.budgets.leased import LeasedLimits
from router.budgets.reclaim import Reclaim
from router.budgets.tally import Tally, left_behind, remove_ancient
from router.config.budgets import BudgetsConfig, Window

ACCOUNT = BudgetAccount("all", "all", Metric.TOKENS, Window.TOTAL, 1000, None)
CHILD = """
import sys
from pathlib import Path
from router.budgets.accounts import BudgetAccount, Metric
from router.budgets.leased import LeasedLimits
from router.budgets.tally import Tally
from router.config.budgets import BudgetsConfig, Window

tally = Tally(Path(sys.argv[1]), "dead/1", 8)
tally.asked(7)
limits = LeasedLimits(BudgetsConfig(), tally=tally)
leased = limits._leased(BudgetAccount("all", "all", Metric.TOKENS, Window.TOTAL, 1000, None))
leased.hold(300)
leased.settle(300, 40)
leased.hold(25)
print("ready", flush=True)
sys.stdin.read()
"""


def test_kill_nine_loses_nothing(tmp_path: Path) -> None:
    """The live one is nobody's to give back; the dead one's tally has all that it set aside."""
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert list(left_behind(tmp_path)) == []
        os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        (found,) = list(left_behind(tmp_path))
    assert (found.holder, found.number) == ("dead/1", 7)
    assert [(each.account, each.used, each.limit) for each in found.accounts] == [("all", 65, 1000)]


def test_another_machines_or_boots_tally_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be alive there, or lack its last amounts."""
    monkeypatch.setattr("router.budgets.tally.boot_id", lambda: "elsewhere")
    Tally(tmp_path, "far", 4).close(settled=False)
    monkeypatch.undo()
    assert list(left_behind(tmp_path)) == []
    assert len(list(tmp_path.iterdir())) == 1


def test_slots_are_used_again_and_bounded(tmp_path: Path) -> None:
    """A window that is over makes room; an account without a slot is only not given back."""
    tally = Tally(tmp_path, "one", 2)
    limits = LeasedLimits(BudgetsConfig(), tally=tally)
    names = [BudgetAccount(f"a{n}", "b", Metric.TOKENS, Window.TOTAL, 9, 5) for n in range(4)]
    first, second, third = (limits._leased(account) for account in names[:3])
    assert [each.slot for each in (first, second, third)] == [1, 2, 0]
    third.hold(3)
    limits.drop([first])
    first.hold(1)
    assert limits._leased(names[3]).slot == 1
    tally.close(settled=False)
    second.hold(1)
    (found,) = list(left_behind(tmp_path))
    assert {each.account: each.used for each in found.accounts} == {"a3": 0, "a1": 0}


def test_a_name_that_does_not_fit_has_no_slot(tmp_path: Path) -> None:
    """Its budget works as ever."""
    tally = Tally(tmp_path, "one", 2)
    leased = LeasedLimits(BudgetsConfig(), tally=tally)._leased(
        BudgetAccount("ä" * 600, "b", Metric.TOKENS, Window.TOTAL, 9, None)
    )
    leased.hold(1)
    assert leased.slot == 0
    tally.close(settled=True)
    assert list(tmp_path.iterdir()) == []


class Silent(LocalAuthority):
    """Does not answer while told so."""

    silent = True

    async def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """As the real one, when it answers."""
        if self.silent:
            raise AuthorityUnreachable("no registry")
        return await super().lease(ask)


async def test_what_the_registry_did_not_hear_is_given_back_later(tmp_path: Path) -> None:
    """The file stays until somebody heard it."""
    tally = Tally(tmp_path, "dead", 4)
    tally.set(tally.open(ACCOUNT), 10)
    tally.close(settled=False)
    authority = Silent()
    reclaim = Reclaim(tmp_path, authority, 1.0)
    await reclaim.once()
    assert len(os.listdir(tmp_path)) == 1  # noqa: PTH208 - on an event loop
    authority.silent = False
    await asyncio.gather(reclaim.once(), Reclaim(tmp_path, authority, 1.0).once())
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - on an event loop
    assert authority.committed("all") == 10


def test_what_other_boots_left_is_removed_after_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is bounded; what may still be alive elsewhere stays."""
    monkeypatch.setattr("router.budgets.tally.boot_id", lambda: "elsewhere")
    for holder in ("old", "new"):
        Tally(tmp_path, holder, 4).close(settled=False)
    os.utime(tmp_path / "elsewhere-old.tally", (1, 1))
    monkeypatch.undo()
    Tally(tmp_path, "mine", 4).close(settled=False)
    remove_ancient(tmp_path)
    names = {path.name.rpartition("-")[2] for path in tmp_path.iterdir()}
    assert names == {"new.tally", "mine.tally"}


def test_a_disk_that_fills_up_later_kills_nobody(tmp_path: Path) -> None:
    """All blocks are there from the start: a write into a hole of a full disk is a SIGBUS."""
    tally = Tally(tmp_path, "holder", 2000)
    (path,) = tmp_path.glob("*.tally")
    assert path.stat().st_blocks * 512 >= path.stat().st_size
    tally.close(settled=True)
