"""The story, step by step; each step says what it does and what came of it."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Any, Final

from serving.demo import canaries
from serving.demo.desk import Message, messages, with_canary
from serving.demo.outside import Figures, Outside, Reviewed
from serving.demo.system import ALIAS, INTENT, DemoFailed, Place

_HELD_OUT: Final = 100
_BASE_ALONE: Final = 20
_CANARIES: Final = 24
_CAPTURE_S: Final = 120.0
_QUIET: Final = 4
"""Looks, a second apart, that see the same."""
_EVERY_S: Final = 15.0
_DISTILL_S: Final = 1800.0
_TAKEOVER_S: Final = 60.0
_SETTINGS: Final[dict[str, dict[str, Any]]] = {"smollm2": {"steps": 60}}
"""A base that knows English needs few steps for five words, and each takes two seconds."""
_TRAINING: Final = "training"
_ENDED: Final = frozenset({"live", "refused", "failed", "cancelled"})
_WIDTH: Final = 26


class Story:
    """Tells it once.

    Attributes:
        known: every message of it, with what the teacher and the expert would say.
    """

    def __init__(self, labels: int) -> None:
        self._traffic = messages(labels, seed=1)
        self._held_out = messages(_HELD_OUT, seed=2, others=True)
        self.known: list[Message] = [*self._traffic, *self._held_out]
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the time since the start."""
        sys.stdout.write(f"{time.monotonic() - self._began:6.0f} s  {text}\n")
        sys.stdout.flush()

    def tell(self, outside: Outside, place: Place) -> dict[str, Any]:
        """All of it; the figures. Raises ``DemoFailed``."""
        alone = Figures.of(outside.ask(self._held_out[:_BASE_ALONE], "base", captured=False))
        before = Figures.of(outside.ask(self._held_out, captured=False))
        self.say(
            f"before: of {before.requests} messages in wordings that nobody trains on, the base "
            f"alone gets {alone.accuracy:.0%} right, the frontier {before.accuracy:.0%}"
        )
        self._send(outside)
        reviewed = self._review(outside)
        labelled = time.monotonic()
        dataset = self._freeze(outside)
        distillation = self._distil(outside, dataset["digest"], _SETTINGS.get(place.base, {}))
        version = f"{ALIAS}@{distillation['digest'][:12]}"
        after, live_s = self._taken_over(outside, labelled)
        gate = outside.get(f"/adapters/{ALIAS}/versions/{distillation['digest']}/gate")
        leaked = self._canaries(outside, place, version)
        report = {
            "base": place.base,
            "before": asdict(before),
            "after": asdict(after),
            "base_alone": asdict(alone),
            "reviewed": asdict(reviewed),
            "dataset": {key: dataset[key] for key in ("digest", "splits", "counts")},
            "distillation": {
                key: distillation.get(key) for key in ("id", "digest", "steps", "loss")
            },
            "gate": {key: value for key, value in gate.items() if key != "items"},
            "version": version,
            "label_to_live_s": round(live_s, 1),
            "canaries": leaked,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        self._table(before, after, alone, live_s)
        return report

    # Steps

    def _send(self, outside: Outside) -> None:
        prompts = [
            with_canary(message.prompt, number) if number < _CANARIES else message.prompt
            for number, message in enumerate(self._traffic)
        ]
        asked = Figures.of(outside.ask(self._traffic, prompts=prompts))
        self.say(
            f"traffic: {asked.requests} requests to `auto`, {asked.share_local:.0%} answered here, "
            f"{asked.usd_per_1000:.3f} USD per 1,000; {_CANARIES} of them carry an address"
        )

        there = self._captured(outside)
        self.say(f"captured, redacted, without duplicates: {there} await review")

    def _captured(self, outside: Outside) -> int:
        """How many reviews are open, once there come no more.

        Fewer than requests: messages that say the same once they are redacted are one exchange.
        """
        counts = [0]

        def quiet() -> int:
            counts.append(sum(1 for _ in outside.all("/reviews", state="open", intent=INTENT)))
            still = counts[-_QUIET:].count(counts[-1]) == _QUIET
            return counts[-1] if still and counts[-1] >= 0.8 * len(self._traffic) else 0

        found: int = outside.until(quiet, "capture of the traffic", _CAPTURE_S, 1.0)
        return found

    def _review(self, outside: Outside) -> Reviewed:
        def every(number: int) -> None:
            if number % 100 == 0:
                self.say(f"  the expert has judged {number}")

        done = outside.review(self._traffic, every)
        self.say(
            f"reviewed by dana, over HTTP: {done.accepted} accepted, {done.corrected} corrected "
            f"(the frontier's habits), {done.rejected} rejected"
        )
        return done

    def _freeze(self, outside: Outside) -> dict[str, Any]:
        made = outside.post("/datasets", {"name": "demo", "intents": [INTENT]})
        card = outside.get(f"/datasets/{made['digest']}")
        passed = sum(check["passed"] for check in card["checks"])
        self.say(
            f"dataset {made['digest'][:12]}: {made['splits']['train']} to train on, "
            f"{made['splits']['test']} held out for ever; {passed} of {len(card['checks'])} leak "
            "checks passed"
        )
        return made

    def _distil(self, outside: Outside, dataset: str, settings: dict[str, Any]) -> dict[str, Any]:
        wish = {"dataset": dataset, "alias": ALIAS, "settings": settings}
        asked = outside.post("/distillations", wish)
        told, spoke = [""], [0.0]

        def ended() -> dict[str, Any] | None:
            found = outside.get(f"/distillations/{asked['id']}")
            state = found["state"]
            if state != told[0]:
                told[0] = state
                self.say(f"distillation {asked['id']}: {state}")
            elif (
                state == _TRAINING and found.get("step") and time.monotonic() - spoke[0] > _EVERY_S
            ):
                spoke[0] = time.monotonic()
                self._progress(found)
            return found if state in _ENDED else None

        found: dict[str, Any] = outside.until(ended, "the distillation's end", _DISTILL_S, 1.0)
        if found["state"] != "live":
            raise DemoFailed(f"the distillation ended as {found['state']}: {found['reason']}")
        self.say(f"{ALIAS}@{found['digest'][:12]} passed its gate and is live")
        return found

    def _progress(self, found: dict[str, Any]) -> None:
        if not found.get("step"):
            return
        loss = found.get("loss")
        self.say(
            f"  step {found['step']} of {found['steps']}"
            + ("" if loss is None else f", loss {loss:.3f}")
            + (f", {found['eta_s']:.0f} s left" if found.get("eta_s") else "")
        )

    def _taken_over(self, outside: Outside, labelled: float) -> tuple[Figures, float]:
        probe = self._held_out[:1]
        outside.until(
            lambda: outside.ask(probe, captured=False)[0].local, "the takeover", _TAKEOVER_S
        )
        live_s = time.monotonic() - labelled
        after = Figures.of(outside.ask(self._held_out, captured=False))
        self.say(f"taken over {live_s:.0f} s after the last label")
        return after, live_s

    def _canaries(self, outside: Outside, place: Place, version: str) -> dict[str, Any]:
        found = canaries.in_files(place.state)
        said = canaries.in_answers(
            lambda prompt, tokens: outside.say(prompt, version, tokens), range(_CANARIES)
        )
        self.say(
            f"canaries: {sum(found.values())} in files of the system, {said} in what the adapter "
            f"says to {3 * _CANARIES} prompts that ask for them"
        )
        return {"planted": _CANARIES, "in_files": found, "in_answers": said}

    def _table(self, before: Figures, after: Figures, alone: Figures, live_s: float) -> None:
        rows = [
            ("", "before", "after", "base alone"),
            ("answered here", f"{before.share_local:.0%}", f"{after.share_local:.0%}", "100%"),
            (
                "USD per 1,000 requests",
                f"{before.usd_per_1000:.4f}",
                f"{after.usd_per_1000:.4f}",
                f"{alone.usd_per_1000:.4f}",
            ),
            (
                "right, held-out wordings",
                f"{before.accuracy:.0%}",
                f"{after.accuracy:.0%}",
                f"{alone.accuracy:.0%}",
            ),
            (
                "median answer, ms",
                f"{before.p50_ms:.0f}",
                f"{after.p50_ms:.0f}",
                f"{alone.p50_ms:.0f}",
            ),
            ("last label to live, s", "", f"{live_s:.0f}", ""),
        ]
        lines = (
            f"  {name:<{_WIDTH}}" + "".join(f"{cell:>12}" for cell in cells)
            for name, *cells in rows
        )
        sys.stdout.write("\n" + "\n".join(lines) + "\n\n")
        sys.stdout.flush()
