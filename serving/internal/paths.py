"""Private paths and error codes, spoken between this system's own processes only."""

from __future__ import annotations

from urllib.parse import quote

# Engines
ADAPTERS = "/internal/adapters"
ADAPTER = "/internal/adapters/{name}"
PINS = "/internal/pins"
PROBE = "/internal/probe"
# Routers
TABLE = "/internal/table"
STATE = "/internal/state"
DECISIONS = "/internal/decisions"
DECISION = "/internal/decisions/{id}"
FEEDBACK = "/internal/feedback"
FEEDBACK_OF = "/internal/feedback/{id}"
CAPTURE = "/internal/captures/{id}"
ERASURES = "/internal/erasures"
AUDIT = "/internal/audit"
AUDIT_VERIFY = "/internal/audit/verify"
HOLDS = "/internal/holds"
HOLD = "/internal/holds/{id}"
AUDIT_PROOF = "/internal/audit/{sequence}/proof"
ASK = "/internal/ask"
WHO_ANSWERS = "/internal/who-answers"
LOOK_AT = "/internal/look-at"
# The registry
LEASES = "/internal/budgets/leases"
USAGE = "/internal/usage"
POLICY = "/internal/policies/{version}"
INTENTS = "/internal/intents/{digest}"
DIFFICULTY = "/internal/difficulty/{digest}"
PASSAGES = "/internal/passages"
CAPTURES = "/internal/captures"
SUBJECTS = "/internal/subjects"
# All of them
METRICS = "/metrics"
PREFIX = "/internal/"

REFUSED = "engine-refused"
"""The engine is well and will never take these files."""
IN_USE = "in-use"
"""A request is under way on the adapter that should leave."""
FAILED = "failed"
"""It did not work; a later try may."""
TOO_MANY = "too-many"
"""More pins than slots that may be pinned."""


def one(template: str, name: str) -> str:
    """The path of one of those with a name or version in them."""
    return template[: template.index("{")] + quote(name, safe="")
