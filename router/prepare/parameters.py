"""Fields that a virtual model gives a body which does not say otherwise."""

from __future__ import annotations

from typing import Any, Final

from router.config.virtual import VirtualModel
from router.wire.endpoint import Endpoint

BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""What the bound on the answer is called, in one API or another."""


def with_parameters(
    endpoint: Endpoint, body: dict[str, Any], virtual: VirtualModel
) -> dict[str, Any]:
    """The body with the parameters that it lacks; a bound on the answer by this API's name."""
    found = dict(body)
    for name, value in virtual.parameters.items():
        if name in BOUNDS:
            if any(each in body for each in BOUNDS):
                continue
            name = "max_output_tokens" if endpoint is Endpoint.RESPONSES else "max_tokens"  # noqa: PLW2901
        found.setdefault(name, value)
    return found
