"""Data-prep: a request as the path works with it, and as each target can take it.

``parse`` once a request: JSON, its texts without what only hides something, tokens, the wishes.
``Fitting`` once a target: system messages and turns as its chat template takes them. What an API
has no words for is the business of ``router.wire.translate``. Nothing is dropped in silence: what
cannot be said is refused by name, what is left out is named in ``x-graftwork-warning``.
"""

from __future__ import annotations

from router.prepare.fitting import Fitting
from router.prepare.parse import Named, parse

__all__ = ["Fitting", "Named", "parse"]
