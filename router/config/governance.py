"""What may leave for whom: personal data and secrets, by tenant, kind of data and target."""

from __future__ import annotations

import fnmatch
import re
from enum import StrEnum
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from router.config.policy import EVERYTHING, Globs
from router.config.safety import SafetyConfig
from router.config.section import Section

SECRETS: Final = frozenset({"SECRET", "PRIVATE_KEY"})
"""What opens doors. It leaves for nobody, unless a rule names it."""
PERSONAL: Final = (
    "PERSON",
    "EMAIL",
    "PHONE",
    "ADDRESS",
    "IBAN",
    "BANK_ACCOUNT",
    "CREDIT_CARD",
    "SSN",
    "NATIONAL_ID",
    "PASSPORT",
    "DRIVER_LICENSE",
    "TAX_ID",
    "MEDICAL_LICENSE",
    "USERNAME",
    "IP",
    "MAC",
    "CRYPTO",
    "URL_CREDENTIALS",
)
"""What says who somebody is, or how to reach or pay them. Countries, companies, dates and ages are
found too, but a question about France is of no use without France."""
BESIDES: Final = ("LOCATION", "ORGANIZATION", "NRP", "TITLE", "DATE_TIME", "AGE", "URL")
"""What is found, too."""
_SPELLINGS: Final = {
    "EMAIL_ADDRESS": "EMAIL",
    "IBAN_CODE": "IBAN",
    "PHONE_NUMBER": "PHONE",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "MAC_ADDRESS": "MAC",
    "CRYPTO_WALLET": "CRYPTO",
    "STREET_ADDRESS": "ADDRESS",
    "NAME": "PERSON",
    "ORG": "ORGANIZATION",
    "GPE": "LOCATION",
    "API_KEY": "SECRET",
    "SECRETS": "SECRET",
}
_WILD: Final = re.compile(r"[*?\[]")


def entity_name(name: str) -> str:
    """The kind of data as it is called here, whoever's word for it is given."""
    found = re.sub(r"\W+", "_", name.strip()).upper()
    return _SPELLINGS.get(found, found)


class PiiAction(StrEnum):
    """What becomes of a value that was found, on its way to a target."""

    ALLOW = "allow"
    """It is sent as it is."""
    MASK = "mask"
    """What it is takes its place; the answer cannot bring it back."""
    VAULT = "vault"
    """A placeholder takes its place, which becomes the value again in the answer."""
    HASH = "hash"
    """A digest takes its place: the same for the same value, in all requests."""
    BLOCK = "block"
    """The target is not asked."""


class PiiDefault(Section):
    """What holds where no rule does."""

    local: PiiAction = Field(default=PiiAction.ALLOW, description="towards the base and adapters")
    frontier: PiiAction = Field(default=PiiAction.VAULT, description="towards providers")


class PiiRule(Section):
    """One rule. It applies where all of its conditions do; what is not given matches everything."""

    tenants: Globs = Field(default=EVERYTHING, description="globs over tenants")
    entities: Globs = Field(
        default=(),
        description="globs over kinds of data, such as `EMAIL`; none: those of `pii.entities`. "
        "Secrets are matched by their names only, never by a glob",
    )
    targets: Globs = Field(
        default=EVERYTHING,
        description="`local`, `frontier`, or globs over targets, with or without `frontier:`",
    )
    action: PiiAction = Field(description="what becomes of the value")

    @field_validator("entities")
    @classmethod
    def _one_spelling(cls, names: Globs) -> Globs:
        return tuple(n.upper() if _WILD.search(n) else entity_name(n) for n in names)


class PiiConfig(Section):
    """Personal data and secrets. Of the rules, the first that applies to a value decides."""

    default: PiiDefault = PiiDefault()
    rules: tuple[PiiRule, ...] = ()
    entities: Globs = Field(
        default=PERSONAL,
        description="globs over the kinds of data that count as personal where a rule names none",
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="more kinds of personal data, such as `ORDER_ID`, and the regular expression "
        "of each; a group named `value` is the value, else all of it",
    )
    names: str = Field(
        default="builtin",
        pattern=r"^(builtin|none|(spacy|transformers|gliner):.+)$",
        description="who finds names, addresses and places: `builtin`, `none`, `spacy:MODEL`, "
        "`transformers:MODEL` or `gliner:MODEL` (installed, a directory, or a name)",
    )
    budget_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="a request whose texts are not searched by then is refused, seconds",
    )
    max_chars: int = Field(
        default=4_000_000,
        ge=1000,
        description="more text than this is refused where it would have to be searched",
    )
    conversation_ttl_s: float = Field(
        default=3600.0,
        gt=0,
        description="how long the placeholders of a conversation that a provider keeps are known, "
        "seconds after its last request; in memory only",
    )
    conversations_kept: int = Field(default=10_000, ge=1, description="of one router")

    @field_validator("entities")
    @classmethod
    def _one_spelling(cls, names: Globs) -> Globs:
        return tuple(n.upper() if _WILD.search(n) else entity_name(n) for n in names)

    @field_validator("patterns")
    @classmethod
    def _kinds(cls, patterns: dict[str, str]) -> dict[str, str]:
        return {entity_name(kind): pattern for kind, pattern in patterns.items()}

    @property
    def personal(self) -> Globs:
        """The kinds of data that count as personal where a rule names none."""
        return (*self.entities, *(kind for kind in self.patterns if kind not in SECRETS))

    @property
    def never_found(self) -> tuple[str, ...]:
        """What rules name and nobody looks for: slips of the pen, mostly.

        None where names are found by a model of one's own, whose kinds are its own.
        """
        if self.names not in {"builtin", "none"}:
            return ()
        known = {*PERSONAL, *BESIDES, *SECRETS, *self.patterns}
        named = dict.fromkeys(name for rule in self.rules for name in rule.entities)
        return tuple(name for name in named if not fnmatch.filter(known, name))

    @model_validator(mode="after")
    def _secrets_are_apart(self) -> Self:
        if SECRETS & set(self.entities):
            raise ValueError("pii.entities: secrets are not personal data; give them a rule")
        return self


class GovernanceConfig(Section):
    """What requests and answers may carry."""

    pii: PiiConfig = PiiConfig()
    safety: SafetyConfig = SafetyConfig()
