"""What deciding by a thousand business rules takes, and by other engines' rules that say the same.

    python -m benchmarks.governance.policy [--others]

Rules of three kinds: each about one tenant, as most are in practice; a mixture; and none that
fixed values of a variable could find, so that all are evaluated. CPU time of one thread, of the
whole question, the values of the variables included. With ``--others`` Cedar (``cedarpy``, its
policies parsed once) answers the same questions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from router.policy.load import accepted, load
from router.policy.situation import Situation

RULES = 1_000
LIMIT_US = 500.0
_QUESTIONS = 2_000
_CEDAR_QUESTIONS = 50
KINDS: dict[str, Callable[[int], str]] = {
    "each about one tenant": lambda n: f'tenant == "t{n}" && facts.loyalty != "gold"',
    "a mixture": lambda n: (
        f'tenant == "t{n}" && has(facts.total) && facts.total > {n}',
        f'intent in ["i{n}", "j{n}"] && "IBAN" in entities',
        f'has(facts.total) && facts.total > {n + 100} && facts.loyalty == "g{n}"',
        f'request.model == "m{n}"',
    )[n % 4],
    "none about a fixed value": lambda n: (
        f'facts.loyalty == "g{n}" || (confidence < 0.{n:04d}1 && "IBAN" in entities)'
    ),
}
ASKED = Situation(
    caller="app",
    tenant="t5",
    intents=("i5",),
    confidence=0.5,
    entities=("EMAIL",),
    facts={"loyalty": "silver", "total": 50},
)


def rules_file(condition: Callable[[int], str], count: int = RULES) -> bytes:
    """A file of so many rules; every third one denies."""
    lines = ["facts: {loyalty: string, total: number}", "rules:"]
    for n in range(count):
        effect = "oblige: {kind: max_discount, percent: 20}" if n % 3 else "deny: Not here."
        lines += [f"  - id: r{n}", f"    when: '{condition(n)}'", f"    {effect}"]
    return "\n".join(lines).encode()


def measured(ask: Callable[[], object], times: int = _QUESTIONS) -> list[float]:
    """CPU microseconds of each question, sorted."""
    found = []
    for _ in range(times):
        began = time.thread_time_ns()
        ask()
        found.append((time.thread_time_ns() - began) / 1000)
    return sorted(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", action="store_true", help="measure Cedar as well")
    options = parser.parse_args()
    print(f"{RULES} rules: CPU of one decision, microseconds (limit {LIMIT_US:g})")
    for name, condition in KINDS.items():
        began = time.perf_counter()
        rules = load(rules_file(condition))
        loaded_s = time.perf_counter() - began
        began = time.perf_counter()
        accepted(rules_file(condition))
        again_s = time.perf_counter() - began
        found = measured(lambda rules=rules: rules.ask(ASKED))  # type: ignore[misc]
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        print(
            f"  {name:26} p50 {p50:7.1f}  p99 {p99:7.1f}   checked in {loaded_s:.2f} s, "
            f"taken over by a router in {again_s:.2f} s"
        )
    if options.others:
        cedar()


def cedar() -> None:
    """The first kind, as Cedar has it."""
    import cedarpy

    rules = ["permit(principal, action, resource);"]
    for n in range(RULES):
        when = f'context.tenant == "t{n}" && context.loyalty != "gold"'
        rules.append(f"forbid(principal, action, resource) when {{ {when} }};")
    policies = cedarpy.PolicySet.from_str("\n".join(rules))
    question = {
        "principal": 'Key::"app"',
        "action": 'Action::"ask"',
        "resource": 'Target::"any"',
        "context": {"tenant": "t5", "loyalty": "silver"},
    }
    found = measured(lambda: cedarpy.is_authorized(question, policies, []), _CEDAR_QUESTIONS)
    print(f"  {'Cedar, parsed once':26} p50 {statistics.median(found):7.1f}")


if __name__ == "__main__":
    main()
