"""All checks of a rendered overlay together."""

from __future__ import annotations

from tests.k8s import arithmetic, coherence, crds, native, operator_rules, security, serve
from tests.k8s.rendering import Objects


def problems(objects: Objects) -> list[str]:
    """Everything that is wrong, one line each."""
    shapes = native.problems(objects)
    if crds.available():
        shapes += [line for each in objects for line in crds.problems(each)]
    # Each takes for granted what those before it found to be right.
    for check in (operator_rules.problems, serve.problems):
        shapes = shapes or check(objects)
    return shapes or [
        line
        for check in (security.problems, coherence.problems, arithmetic.problems)
        for line in check(objects)
    ]
