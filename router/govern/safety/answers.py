"""Answers on their way out, as checks of the hold-back window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from router.govern.safety.checks import Case, Check, Finding, Passage, Source, Turn
from router.request import Request
from router.wire.spoken import Place

Found = Callable[[Sequence[Finding]], None]
"""Told of findings; raises where the answer must not go out."""
STEP: Final = 60
"""Characters after which the classifier reads what is new; about 15 tokens."""
OVERLAP: Final = 180
"""Characters before those that it reads again with them, so that no cut hides a sentence."""
CONTEXT: Final = 3_000
"""Characters of an answer that a guard is shown again with what is new."""


class ClassifiedAnswer:
    """Reads the answer in steps, and holds nothing back but what is being judged.

    The words of one step may have left when it is: it is not worth the time to the first token that
    every other answer would pay.
    """

    lets_pass: Final = STEP - 1

    def __init__(self, check: Check, found: Found) -> None:
        self._check = check
        self._found = found
        self._texts: dict[Place, str] = {}
        self._read: dict[Place, int] = {}

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """Judge once enough is new. Raises what ``found`` does."""
        kept = self._texts.get(place, "") + text
        fresh = len(kept) - self._read.get(place, 0)
        if fresh and (ended or fresh >= STEP):
            found = await self._check.judge(Case([Passage(kept, Source.ANSWER)]))
            if found:
                self._found(found)
            kept = kept[-OVERLAP:]
            self._read[place] = len(kept)
        self._texts[place] = kept
        return 0


class GuardedAnswer:
    """Holds the answer back until the guard saw it, a window at a time.

    Args:
        check: the guard.
        found: told of what it finds.
        request: whose answer it is.
        turns: the conversation before.
        window_chars: how much is held at most.
    """

    lets_pass: Final = 0

    def __init__(
        self,
        check: Check,
        found: Found,
        request: Request,
        turns: Sequence[Turn],
        window_chars: int,
    ) -> None:
        self._check = check
        self._request = request
        self._found = found
        self._turns = turns
        self._window_chars = window_chars
        self._texts: dict[Place, str] = {}
        self._unseen: dict[Place, int] = {}

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """Ask about the answer so far when the window is full or it ends."""
        kept = self._texts.get(place, "") + text
        unseen = self._unseen.get(place, 0) + len(text)
        if unseen and (ended or unseen >= self._window_chars):
            turns = [*self._turns, Turn("assistant", kept)]
            found = await self._check.judge(Case([], turns, self._request))
            if found:
                self._found(found)
            unseen = 0
        self._texts[place] = kept[-max(CONTEXT, unseen) :]
        self._unseen[place] = unseen
        return unseen
