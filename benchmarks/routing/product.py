"""The product's own decisions about GSM8K's problems, as a router takes them.

Outcomes of other problems are fitted (``router.choose.heads``), a decision is taken about each
problem (``router.choose.choose``): the weak model is the base, at its price, the strong one a
frontier. Nothing else is known: no intent, no feedback, defaults everywhere. How much a good
answer is worth (``worth_usd``), or how large an error may be (``risk``), says how many go to the
strong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapters.aliases import Replica, RoutingTable
from benchmarks.routing.data import Problem
from router.choose.choose import Chooser
from router.choose.difficulty import Difficulty, traits
from router.choose.heads import Outcome, fitted
from router.choose.learning import Learning
from router.config.root import RouterConfig
from router.exchange import Exchange
from router.hardness import Hardness
from router.request import BASE, Caller, Decision, Needs, Option, Request
from router.wire.endpoint import Endpoint

WEAK_PRICE, STRONG_PRICE = 0.24, 24.7
"""US$ per million tokens, as RouteLLM counts them (arXiv 2406.18665, table 6)."""
WEAK, STRONG = BASE, "frontier:cloud/strong"
_PER_S: Final = 1000.0
_CALLER: Final = Caller("benchmark", "default", frozenset())
_TABLE: Final = RoutingTable(
    revision=1, base_id="weak", replicas=(Replica(id="r", url="", secret="", ready=True),)
)
_NO_NEEDS: Final[frozenset[str]] = frozenset()

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Weighed:
    """What was expected of both models, a number a problem."""

    weak: Floats
    strong: Floats
    options: tuple[tuple[Option, Option], ...]
    """The weak and the strong one of each decision."""

    @property
    def strong_usd(self) -> Floats:
        """What the strong one is expected to cost."""
        return np.array([strong.cost_usd or 0.0 for _, strong in self.options])

    @property
    def extra_usd(self) -> Floats:
        """What it costs more."""
        extra: Floats = self.strong_usd - np.array(
            [weak.cost_usd or 0.0 for weak, _ in self.options]
        )
        return extra

    @property
    def worth(self) -> Floats:
        """By how much the strong one is ahead, per dollar: 1 over the worth where it is chosen."""
        gain: Floats = (self.strong - self.weak) / self.extra_usd
        return gain


def weighed(
    problems: Sequence[Problem],
    vectors: NDArray[np.float32],
    fold: NDArray[np.integer],
    *,
    per_request: bool = True,
) -> tuple[Weighed, list[Hardness]]:
    """Decide about every problem by what the other folds taught, and how hard each looked."""
    by, looked = chooser(per_request=per_request), []
    found: list[tuple[Option, Option]] = []
    for problem, vector, model in zip(
        problems, vectors, _models(problems, vectors, fold), strict=True
    ):
        hardness = model.judge(vector, known(problem.text))
        looked.append(hardness)
        options = {each.target: each for each in decided(problem, hardness, by).options}
        found.append((options[WEAK], options[STRONG]))
    weak, strong = (np.array([pair[place].quality for pair in found], float) for place in (0, 1))
    return Weighed(weak, strong, tuple(found)), looked


def _models(
    problems: Sequence[Problem], vectors: NDArray[np.float32], fold: NDArray[np.integer]
) -> list[Difficulty]:
    """For each problem, the model that has not seen its fold."""
    made = {}
    for number in np.unique(fold):
        outcomes = [
            Outcome(problem.text, vector, known(problem.text), target, float(good))
            for problem, vector, of in zip(problems, vectors, fold, strict=True)
            if of != number
            for target, good in ((WEAK, problem.weak), (STRONG, problem.strong))
        ]
        made[number] = fitted(outcomes, "benchmark", vectors.shape[1])[0]
    return [made[number] for number in fold]


def known(text: str) -> NDArray[np.float32]:
    """What a router knows of such a request beside its meaning."""
    tokens = len(text.encode()) // 4
    return traits(text, turns=1, input_tokens=tokens, needs=_NO_NEEDS, foreign=False)


def chooser(*, per_request: bool = True, **route: Any) -> Chooser:
    """A router's, with this route for everything."""
    model = {
        "id": "strong",
        "input_usd_per_mtok": STRONG_PRICE,
        "output_usd_per_mtok": STRONG_PRICE,
    }
    local = {
        "replica_hour_usd": WEAK_PRICE / 1e6 * _PER_S * 3600,
        "output_tokens_per_s": _PER_S,
        "input_tokens_per_s": _PER_S,
    }
    made = RouterConfig.model_validate(
        {
            "providers": [{"name": "cloud", "base_url": "http://127.0.0.1:9", "models": [model]}],
            "routing": {
                "frontiers": ["*"],
                "local": {"price": local},
                "routes": {"*": route},
                "quality": {"per_request": per_request},
            },
        }
    )
    return Chooser(made, Learning(made.routing))


def decided(problem: Problem, hardness: Hardness, by: Chooser) -> Decision:
    """The decision about one problem."""
    request = Request(
        id="req",
        decision_id="dec",
        endpoint=Endpoint.CHAT,
        headers={},
        caller=_CALLER,
        text=problem.text,
        needs=Needs(input_tokens=len(problem.text.encode()) // 4),
    )
    exchange = Exchange(request, Decision(_TABLE, difficulty=hardness))
    return by.choose(exchange, by.policies.permission(_CALLER, None))


def to_strong(
    problems: Sequence[Problem], looked: Sequence[Hardness], by: Chooser
) -> NDArray[np.bool_]:
    """Which problems a router with this route asks the strong model."""
    return np.array(
        [
            (first := decided(problem, hardness, by).first) is not None and first.target == STRONG
            for problem, hardness in zip(problems, looked, strict=True)
        ]
    )
