"""What can go wrong with a review, sorted by what the caller can do.

::

    ReviewError
    ├── UnknownReview       there is none of this name
    ├── UnknownExchange     nothing to review: it is gone, or was never there
    ├── Held                another reviewer holds it: take the next one
    ├── AlreadyJudged       each judges an item once: undo first
    ├── NothingToUndo       no verdict of one's own stands
    ├── BadAnswer           the answer does not go with the verdict
    └── TooMany             a bound is reached
"""

from __future__ import annotations

from adapters.errors import AdapterError


class ReviewError(AdapterError):
    """Root of the tree."""

    code = "review-error"


class UnknownReview(ReviewError):
    """There is none of this name."""

    code = "review-not-found"
    remedy = "List them: `graftwork reviews list`."


class UnknownExchange(ReviewError):
    """Nothing to review: it is gone, or was never there."""

    code = "exchange-not-found"
    remedy = "List them: `graftwork exchanges list`."


class Held(ReviewError):
    """Another reviewer holds it."""

    code = "review-claimed"
    remedy = "Take the next one, or wait until the claim ends."


class AlreadyJudged(ReviewError):
    """Each reviewer judges an item once."""

    code = "already-judged"
    remedy = "Undo your verdict first: POST /admin/v1/reviews/{id}/undo."


class NothingToUndo(ReviewError):
    """No verdict of one's own stands."""

    code = "nothing-to-undo"


class BadAnswer(ReviewError):
    """The answer does not go with the verdict."""

    code = "bad-answer"


class TooMany(ReviewError):
    """A bound is reached."""

    code = "too-many"
