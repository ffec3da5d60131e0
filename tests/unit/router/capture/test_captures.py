"""What is kept of whom, under load and with a failing disk; nobody who asks waits for it."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from adapters.corpus.delivery import Afterwards, Entry, from_line
from adapters.corpus.exchange import Exchange as Kept
from router.capture.captures import QUEUED, Captures
from router.capture.counts import CaptureCounts
from router.capture.entries import Entries
from router.capture.holdings import WaitingExchanges
from router.capture.repeats import Repeats
from router.capture.spool import Line, Spool
from router.capture.unwritten import UNWRITTEN
from router.config.auto import AutoConfig
from router.config.capture import CaptureConfig
from router.config.governance import GovernanceConfig
from router.embed.threads import Threads
from router.exchange import Exchange
from router.govern.detectors import detectors
from router.govern.governance import Governance
from router.intent.source import IntentSource
from router.intent.stage import IntentStage
from router.request import Caller, Hints, Option
from router.wire.endpoint import Endpoint
from tests.fakes.documents import WordEncoder
from tests.fakes.exchanges import exchange, put

MAIL = "maria.planted@example.com"


class Hashes:
    """Stands for persons, from the beginning."""

    def hash(self, person: str) -> str:
        """No hash, to be read."""
        return f"hash of {person}"

    async def known(self) -> None:
        """It is."""


class Router:
    """One router's captures, with everything that they use."""

    def __init__(self, root: Path, **config: Any) -> None:
        consents = {"tenants": {"acme": {"consent": True}, "rare": {"consent": True, "share": 0}}}
        self.metrics = CollectorRegistry()
        governance = Governance(GovernanceConfig(), detectors(), lambda text: text[::-1])
        intents = IntentStage(IntentSource(AutoConfig()), Threads("reading"))
        self.spool = Spool(root / "capture", "own", 2**22)
        self.told: list[str] = []
        self.captures = Captures(
            CaptureConfig.model_validate({**consents, **config}),
            Entries(governance, intents, Hashes()),
            self.spool,
            CaptureCounts(self.metrics),
            self._tell,
            Repeats(WordEncoder()),
        )
        self.room = WaitingExchanges(self.captures, self.spool, Hashes().hash)

    async def _tell(self, decision_id: str) -> None:
        self.told.append(decision_id)

    def dropped(self, reason: str) -> float:
        """How many were not kept for this reason."""
        labels = {"reason": reason}
        return self.metrics.get_sample_value("graftwork_capture_dropped_total", labels) or 0.0

    async def entries(self) -> list[Entry]:
        """What waits for the registry, when all is worked on."""
        await self.captures.settled()
        return [from_line(each) for each in self.spool.next(2**22).lines]


def answered(
    text: str = "Hello", said: str = "Hi.", *, number: int = 1, tenant: str = "acme", **facts: Any
) -> Exchange:
    """A chat that was answered."""
    found = exchange("base", caller=Caller(tenant, tenant, frozenset()))
    body = facts.pop("body", {"messages": [{"role": "user", "content": text}]})
    answer = facts.pop("answer", {"choices": [{"message": {"content": said}}]})
    put(found, decision_id=f"dec_{number}", body=body, **{"status": 200, **facts})
    found.delivery.choose(Option("base", engine_name="tiny"))
    found.delivery.capture(orjson.dumps(answer), cut=False)
    return found


def run(root: Path, work: Callable[[Router], Awaitable[None]], **config: Any) -> None:
    """Do this with captures that are at work."""

    async def whole() -> None:
        router = Router(root, **config)
        router.captures.start()
        try:
            await work(router)
        finally:
            await router.captures.aclose()

    asyncio.run(whole())


def test_an_answer_is_kept_redacted_with_its_person_as_a_hash(tmp_path: Path) -> None:
    """In one shape; the session only where its name says nobody."""

    async def work(router: Router) -> None:
        found = answered(f"I am {MAIL}", f"Hello {MAIL}")
        put(found, hints=Hints(session=f"of {MAIL}"), headers={"x-graftwork-subject": "p-77"})
        router.captures.follow(found)
        (kept,) = await router.entries()
        assert isinstance(kept, Kept)
        assert kept.messages[0]["content"] == "I am [EMAIL_1]"
        assert kept.response == "Hello [EMAIL_1]"
        assert kept.subjects == ("hash of p-77",)
        assert kept.session.startswith("session_")
        assert MAIL not in repr(kept)
        assert kept.trains

    run(tmp_path, work)


@pytest.mark.parametrize(
    "facts",
    [
        {"status": 500},
        {"error": "stream_broke"},
        {"tenant": "unknown"},
        {"hints": Hints(no_capture=True)},
        {"endpoint": Endpoint.EMBEDDINGS},
        {"body": {"messages": [{"content": "no role"}]}},
        {"body": {"prompt": [1, 2, 3]}, "endpoint": Endpoint.COMPLETIONS},
        {"body": {"input": "more", "previous_response_id": "r"}, "endpoint": Endpoint.RESPONSES},
    ],
)
def test_what_is_no_answer_or_not_allowed_is_not_kept(
    tmp_path: Path, facts: dict[str, Any]
) -> None:
    """Nor what nothing could be learned from."""

    async def work(router: Router) -> None:
        router.captures.follow(answered(**facts))
        assert await router.entries() == []

    run(tmp_path, work)


def test_a_cut_answer_is_not_kept(tmp_path: Path) -> None:
    """Half of an answer teaches the wrong half; it is counted."""

    async def work(router: Router) -> None:
        found = answered()
        found.delivery.capture(b"{", cut=True)
        router.captures.follow(found)
        assert await router.entries() == []
        assert router.dropped("too_large") == 1

    run(tmp_path, work)


def test_of_what_is_not_sampled_signs_have_it_kept(tmp_path: Path) -> None:
    """What happened on the way, and what the answer itself says."""

    async def work(router: Router) -> None:
        router.captures.follow(answered("Plain", "It is so.", tenant="rare", number=1))
        poor = answered("Review", "It is so.", tenant="rare", number=2)
        poor.delivery.ask_for_review("low confidence")
        router.captures.follow(poor)
        refused = answered("Refused", "I'm sorry, but I can't help with that.", tenant="rare")
        router.captures.follow(refused)
        kept = await router.entries()
        assert [each.messages[0]["content"] for each in kept if isinstance(each, Kept)] == [
            "Review",
            "Refused",
        ]

    run(tmp_path, work)


def test_a_conversation_is_sampled_as_a_whole(tmp_path: Path) -> None:
    """About the share of conversations, all turns of each or none."""

    async def work(router: Router) -> None:
        for number in range(400):
            found = answered(f"Turn {number}", tenant="half", number=number)
            put(found, hints=Hints(session=f"session {number // 4}"))
            router.captures.follow(found)
        kept = await router.entries()
        sessions = [each.session for each in kept if isinstance(each, Kept)]
        assert all(sessions.count(each) == 4 for each in sessions)
        assert 30 <= len(set(sessions)) <= 70

    run(tmp_path, work, tenants={"h*": {"consent": True, "share": 0.5}})


def test_what_becomes_known_later_keeps_what_was_not_sampled(tmp_path: Path) -> None:
    """With the placeholders that its exchange has; and once only."""

    async def work(router: Router) -> None:
        router.captures.follow(answered(f"Mail {MAIL}", tenant="rare"))
        assert await router.entries() == []
        shown = {"demonstrations": [{"answer": f"To {MAIL}, not a@b.example"}]}
        router.captures.tell("dec_1", {"demonstration": "somebody said"}, shown)
        router.captures.tell("dec_1", {"negative_feedback": "again"})
        kept, *later = await router.entries()
        assert isinstance(kept, Kept)
        assert set(kept.signals) == {"demonstration", "negative_feedback"}
        assert [each.names for each in later if isinstance(each, Afterwards)] == [
            ("demonstration",),
            ("negative_feedback",),
        ]
        assert later[0].details["demonstrations"] == [{"answer": "To [EMAIL_1], not [EMAIL_2]"}]
        assert router.told == []

    run(tmp_path, work)


def test_other_routers_are_asked_for_what_is_not_remembered_here(tmp_path: Path) -> None:
    """What is said of it goes on its way all the same."""

    async def work(router: Router) -> None:
        router.captures.tell("dec_9", {"negative_feedback": "bad"}, {"comments": [f"of {MAIL}"]})
        (later,) = await router.entries()
        assert later.details["comments"] == ["of [EMAIL_1]"]
        assert router.told == ["dec_9"]
        router.captures.follow(answered(tenant="rare", number=9))
        assert router.captures.keep("dec_9")
        assert not router.captures.keep("dec_10")
        assert len(await router.entries()) == 2

    run(tmp_path, work)


def test_only_so_many_are_remembered_and_for_so_long(tmp_path: Path) -> None:
    """In number, bytes and time; a person's can be erased."""

    async def work(router: Router) -> None:
        for number in range(10):
            found = answered(f"{number}", tenant="rare", number=number)
            put(found, body_bytes=0, headers={"x-graftwork-subject": f"p-{number}"})
            router.captures.follow(found)
        recent = router.captures.recent
        assert [number for number in range(10) if recent.find(f"dec_{number}")] == [7, 8, 9]
        assert await recent.erase("p-8") == 1
        assert recent.find("dec_8") is None
        large = answered("large", tenant="rare", number=11)
        put(large, body_bytes=2**20)
        router.captures.follow(large)
        assert len(recent) == 0
        assert recent.bytes == 0
        router.captures.follow(answered("new", tenant="rare", number=12))
        assert recent.find("dec_12") is not None
        recent._clock = lambda: time.monotonic() + 901
        assert recent.find("dec_12") is None

    run(tmp_path, work, recent=3, recent_mb=1, recent_s=900)


def test_overload_costs_what_is_only_sampled(tmp_path: Path) -> None:
    """The queue is bounded, and what something speaks for is worked on."""

    async def work(router: Router) -> None:
        for number in range(QUEUED + 50):
            found = answered(f"{number}", number=number)
            if number < 20:
                found.delivery.ask_for_review("low confidence")
            router.captures.follow(found)
        assert router.captures.queued == QUEUED
        assert router.dropped("busy") == 50
        kept = await router.entries()
        # A disk that is slower than all this costs some more of the same.
        assert len(kept) == QUEUED - router.dropped("disk")
        assert [each.decision_id for each in kept[:20]] == [f"dec_{n}" for n in range(20)]

    run(tmp_path, work)


def test_a_full_disk_drops_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in memory meanwhile, counted, and written when there is room again."""

    async def work(router: Router) -> None:
        real = router.spool.add

        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(router.spool, "add", full)
        for number in range(UNWRITTEN + 30):
            router.captures.follow(answered(f"{number}", number=number))
        await router.captures.settled()
        assert router.captures.unwritten == UNWRITTEN
        assert router.dropped("disk") == 30
        monkeypatch.setattr(router.spool, "add", real)
        assert len(await router.entries()) == UNWRITTEN
        assert router.captures.unwritten == 0

    run(tmp_path, work)


def test_a_slow_disk_costs_what_is_only_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on its way to it meanwhile is neither dropped nor counted as dropped."""

    async def work(router: Router) -> None:
        real, goes_on, begun = router.spool.add, threading.Event(), threading.Event()

        def slow(lines: Sequence[Line]) -> None:
            begun.set()
            assert goes_on.wait(60)
            real(lines)

        monkeypatch.setattr(router.spool, "add", slow)
        router.captures.follow(answered("first", number=0))
        assert await asyncio.to_thread(begun.wait, 30)
        for number in range(1, UNWRITTEN + 31):
            found = answered(f"{number}", number=number)
            if number <= 3:
                found.delivery.ask_for_review("low confidence")
            router.captures.follow(found)
        while router.captures.queued or router.dropped("disk") < 30:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        goes_on.set()
        kept = {each.decision_id for each in await router.entries()}
        assert {"dec_0", "dec_1", "dec_2", "dec_3"} <= kept
        assert len(kept) == 1 + UNWRITTEN
        assert router.dropped("disk") == 30

    run(tmp_path, work)


def test_a_person_that_is_erased_is_not_kept_from_what_waits(tmp_path: Path) -> None:
    """Neither from memory nor from the disk."""

    async def work(router: Router) -> None:
        for number in range(6):
            found = answered(f"{number}", number=number)
            person = "hers" if number % 2 else "his"
            put(found, headers={"x-graftwork-subject": person})
            router.captures.follow(found)
            if number == 2:
                await router.captures.settled()
        assert await router.room.erase("hers") == 3
        assert len(await router.entries()) == 3
        assert await router.room.found("hers") == 0

    run(tmp_path, work)


def _told(token: str) -> dict[str, Any]:
    content = [
        {"token": token, "logprob": -0.1, "top_logprobs": [{"token": "No", "logprob": -2.0}]}
    ]
    return {"choices": [{"message": {"content": "Yes."}, "logprobs": {"content": content}}]}


def test_logprobs_are_kept_where_nothing_had_to_be_redacted(tmp_path: Path) -> None:
    """Nobody finds a name in pieces of words."""

    async def work(router: Router) -> None:
        router.captures.follow(answered("Plain?", answer=_told("Yes"), number=1))
        router.captures.follow(answered(f"Of {MAIL}?", answer=_told("Yes"), number=2))
        plain, personal = await router.entries()
        assert isinstance(plain, Kept)
        assert isinstance(personal, Kept)
        told = [{"token": "Yes", "logprob": -0.1, "top": [{"token": "No", "logprob": -2.0}]}]
        assert plain.details["logprobs"] == told
        assert "logprobs" not in personal.details

    run(tmp_path, work)


def test_what_a_rule_wants_reviewed_is_kept_without_consent(tmp_path: Path) -> None:
    """But nothing may be learned from it."""

    async def work(router: Router) -> None:
        found = answered("Reviewed", tenant="unknown")
        ruling = replace(found.decision.ruling, review="after", reviewed_for=("r1",))
        put(found, ruling=ruling)
        router.captures.follow(found)
        (kept,) = await router.entries()
        assert isinstance(kept, Kept)
        assert not kept.trains
        assert kept.details["review"] == {
            "id": "rev_1",
            "decision_id": "dec_1",
            "rules": ["r1"],
            "when": "after",
        }
        assert len(router.captures.recent) == 0

    run(tmp_path, work)


def test_other_routers_are_told_of_a_bounded_number_at_once(tmp_path: Path) -> None:
    """Clients judge what nobody remembers as often as they like; neighbours may be slow (law 9)."""

    async def work(router: Router) -> None:
        free = asyncio.Event()
        asked = 0

        async def slow(_: str) -> None:
            nonlocal asked
            asked += 1
            await free.wait()

        router.captures._elsewhere = slow
        for number in range(200):
            router.captures.tell(f"dec_x{number}", {"negative_feedback": "no"})
        await asyncio.sleep(0)
        assert asked == len(router.captures._telling) <= 64
        free.set()

    run(tmp_path, work)
