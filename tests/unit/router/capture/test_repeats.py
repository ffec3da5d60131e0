"""The same question in other words is noticed, and which answer was enough in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from adapters.corpus.signals import Signal
from router.capture.recent import Finished, Recent
from router.capture.repeats import WITHIN_S, Heard, Repeats
from router.embed.encoder import BgeSmall
from router.exchange import Exchange
from router.request import Caller
from tests.fakes.exchanges import exchange, put

FIRST = "How long do refunds take to arrive?"
AGAIN = "When will I get my money back after a refund?"
OTHER = "What colours does the tent come in?"
APP = Caller("app", "acme", frozenset())


@pytest.fixture(scope="module")
def encoder() -> BgeSmall:
    """The encoder that production has."""
    return BgeSmall()


class Talk:
    """Requests of one conversation after the other."""

    def __init__(self, encoder: BgeSmall) -> None:
        self.now = 0.0
        self.repeats = Repeats(encoder, lambda: self.now)
        self.recent = Recent(100, 10**6, 10**6, lambda: self.now)
        self._number = 0

    async def say(
        self,
        *turns: str,
        session: str | None = None,
        caller: Caller = APP,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[Heard]]:
        """The last of these turns, after the others; its decision, and what it says."""
        self._number += 1
        self.now += 1
        decision = f"dec_{self._number}"
        found: Exchange = put(
            exchange(session=session, caller=caller),
            decision_id=decision,
            turns=turns[-3:],
            text=turns[-1],
            body=dict(body or {}),
        )
        finished = Finished(found, b"{}", trains=True, wanted=False, at=self.now)
        self.recent.add(finished)
        return decision, await self.repeats.hear(finished, self.recent)


@pytest.fixture
def talk(encoder: BgeSmall) -> Talk:
    """Nobody has said anything."""
    return Talk(encoder)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FIRST, AGAIN),
        ("How do I cancel my order?", "I want to cancel the order that I placed."),
        ("My card was declined, why?", "Why did my card payment get declined?"),
        ("退款需要多长时间才能到账", "请问退款多长时间可以到账"),
    ],
)
def test_other_words_for_the_same(talk: Talk, one: str, other: str) -> None:
    """Both ways round."""
    assert talk.repeats.alike(one, other)
    assert talk.repeats.alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FIRST, OTHER),
        (FIRST, FIRST),
        (FIRST, FIRST.upper() + "!"),
        ("Where is my order 4711?", "Where is my order 4712?"),
        (FIRST, "Thanks!"),
        ("ok", "ok then"),
        ("", FIRST),
        ("今天天气怎么样会下雨吗", "请问退款多长时间可以到账"),
    ],
)
def test_something_else_or_the_very_same(talk: Talk, one: str, other: str) -> None:
    """Another matter, the same words once more, another number, too little said."""
    assert not talk.repeats.alike(one, other)


@pytest.mark.parametrize("session", ["s-1", None], ids=["session", "history"])
async def test_asked_again_and_then_content(talk: Talk, session: str | None) -> None:
    """The first answer was not enough, the second was; by the session's name or by its turns."""

    def turns(*said: str) -> tuple[str, ...]:
        return said[-1:] if session else said

    first, heard = await talk.say(FIRST, session=session)
    assert heard == []
    second, heard = await talk.say(*turns(FIRST, AGAIN), session=session)
    assert [each.decision_id for each in heard] == [first]
    assert list(heard[0].signs) == [Signal.ASKED_AGAIN.value]
    third, heard = await talk.say(*turns(FIRST, AGAIN, OTHER), session=session)
    assert [each.decision_id for each in heard] == [first]
    assert heard[0].signs == {}
    assert heard[0].content_with is not None
    assert heard[0].content_with.decision_id == second
    _, heard = await talk.say(*turns(FIRST, AGAIN, OTHER, "And how heavy is it?"), session=session)
    assert heard == []
    assert third


async def test_asked_three_times(talk: Talk) -> None:
    """Both answers before were not enough; the third one was, for the first question."""
    first, _ = await talk.say(FIRST, session="s")
    second, _ = await talk.say(AGAIN, session="s")
    third, heard = await talk.say("How many days until a refund is on my account?", session="s")
    assert [each.decision_id for each in heard] == [second]
    _, heard = await talk.say("Great, thank you very much!", session="s")
    assert [(each.decision_id, each.content_with is not None) for each in heard] == [(first, True)]
    assert heard[0].content_with is not None
    assert heard[0].content_with.decision_id == third


async def test_who_complains_is_not_content(talk: Talk) -> None:
    """Nothing is said for the second answer."""
    await talk.say(FIRST, session="s")
    await talk.say(AGAIN, session="s")
    _, heard = await talk.say("That is wrong and not what I asked.", session="s")
    assert heard == []


async def test_other_conversations_have_nothing_to_do_with_it(talk: Talk) -> None:
    """Another session, another caller, and what is long ago or forgotten."""
    await talk.say(FIRST, session="s")
    assert (await talk.say(AGAIN, session="t"))[1] == []
    assert (await talk.say(AGAIN, session="s", caller=Caller("x", "acme", frozenset())))[1] == []
    assert (await talk.say(AGAIN, session="s", body={"user": "somebody else"}))[1] == []
    talk.now += WITHIN_S + 1
    assert (await talk.say(AGAIN, session="s"))[1] == []
    await talk.say(FIRST, session="u")
    talk.recent = Recent(100, 10**6, 10**6)
    assert (await talk.say(AGAIN, session="u"))[1] == []


async def test_memory_is_bounded(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest conversations are forgotten."""
    monkeypatch.setattr("router.capture.repeats._KEPT", 3)
    for number in range(10):
        await talk.say(FIRST, session=f"s-{number}")
    assert len(talk.repeats) == 3
    assert (await talk.say(AGAIN, session="s-0"))[1] == []
    assert (await talk.say(AGAIN, session="s-9"))[1] != []
