"""What fills the slots of the sentences: names, addresses, firms of many countries, made up.

Needs Faker (MIT), which nothing else here does: `pip install faker==40.63.0`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from faker import Faker

from scripts.names.words import (
    AFTER,
    ALONE,
    BEFORE,
    DEMONYMS,
    ENGLISH,
    FIRMS,
    JOBS,
    LOCALES,
    PLAIN,
    PREFIXES,
    STATES,
    UNITS,
)

SLOTS: Final = {
    **dict.fromkeys(("person", "first", "last"), "PERSON"),
    **dict.fromkeys(("org",), "ORGANIZATION"),
    **dict.fromkeys(("city", "country"), "LOCATION"),
    **dict.fromkeys(("address", "qaddress", "street"), "ADDRESS"),
    **dict.fromkeys(("nrp", "nrps"), "NRP"),
    **dict.fromkeys(("job", "prefix"), "TITLE"),
    **dict.fromkeys(("date", "year"), "DATE_TIME"),
    "age": "AGE",
}

WORDS: Final[dict[str, list[str]]] = {}
RARE: Final[dict[str, list[str]]] = {}
CITIES: Final[list[str]] = []
COUNTRIES: Final[list[str]] = []
_PARTICLES: Final = ["van", "de", "von", "van der", "da", "Mc", "bin", "al"]
_SUFFIXES: Final = ["Jr.", "Sr.", "III", "MD", "PhD", "DDS", "Esq.", "II"]
_ROMAN: Final = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIV"]
rng: random.Random = random.Random(0)
fakers: dict[str, Faker] = {}


def seed(number: int) -> None:
    """The same values again, in every process."""
    rng.seed(number)
    for place, locale in enumerate(LOCALES):
        fakers[locale] = Faker(locale)
        fakers[locale].seed_instance(number + place)


def faker() -> Faker:
    """One country's, English ones more often."""
    return fakers[rng.choice(LOCALES[:7] if rng.random() < 0.35 else LOCALES)]


def first() -> str:
    """A given name."""
    return str(faker().first_name())


def last() -> str:
    """A family name."""
    name = str(faker().last_name())
    return f"{name}-{faker().last_name()}" if rng.random() < 0.03 else name


def person() -> str:
    """A whole name, as people write it."""
    one = faker()
    given, family = str(one.first_name()), str(one.last_name())
    form = rng.random()
    if form < 0.68:
        return f"{given} {family}"
    if form < 0.78:
        return f"{given} {rng.choice('ABCDEFGHIJKLMNOPRSTVW')}{rng.choice(['.', '', '.'])} {family}"
    if form < 0.84:
        return f"{given} {one.first_name()} {family}"
    if form < 0.88:
        return f"{given[0]}. {family}"
    if form < 0.91:
        return f"{family}, {given}"
    if form < 0.94:
        return f"{given} {rng.choice(_PARTICLES)} {family}"
    if form < 0.97:
        return f"{given} {family} {rng.choice(_SUFFIXES)}"
    return f"{given} {family} {one.last_name()}"


def street_name() -> str:
    """Without a number."""
    form = rng.random()
    base = rng.choice([last, first, plain_name, city_name])()
    if form < 0.4:
        return f"{base} {rng.choice(ENGLISH)}"
    if form < 0.6:
        return f"{rng.choice(BEFORE)} {rng.choice([last, person, plain_name, first])()}"
    if form < 0.8:
        return f"{base.split()[0]}{rng.choice(['', '', ' '])}{rng.choice(AFTER)}"
    if form < 0.97:
        return str(faker().street_name())
    return f"{base}"


def plain_name() -> str:
    """A word with a capital letter."""
    return str(rng.choice(PLAIN)).capitalize()


def street() -> str:
    """A street, most often with the house's number, before or after it."""
    name, number = street_name(), str(rng.randint(1, rng.choice([30, 300, 9999])))
    form = rng.random()
    if form < 0.35:
        return f"{number} {name}"
    if form < 0.7:
        return f"{name} {number}{rng.choice(['', '', '', 'a', 'B', '/2', '-14'])}"
    if form < 0.8:
        return f"{name}, {number}"
    return name


def city_name() -> str:
    """A town, made up or real."""
    return str(rng.choice(CITIES)) if rng.random() < 0.6 else str(faker().city())


def city() -> str:
    """As it is written: now and then in capital letters, or with its state."""
    name, form = city_name(), rng.random()
    if form < 0.06:
        return name.upper()
    return f"{name}, {rng.choice(STATES)}" if form < 0.1 else name


def country() -> str:
    """A state of the world."""
    return str(rng.choice(COUNTRIES))


def postcode() -> str:
    """Of some country."""
    form = rng.random()
    if form < 0.6:
        return str(rng.randint(1000, 99999)).zfill(rng.choice([4, 5]))
    return str(faker().postcode())


def address() -> str:
    """A postal address on one line or several, in the order of some country."""
    form = rng.random()
    if form < 0.08:
        return f"{rng.choice(['the corner of', 'corner of'])} {street()} and {street()}"
    if form < 0.16:
        return military()
    if form < 0.28:
        return str(faker().address())
    if form < 0.36:
        return street()
    house, unit = street(), ""
    if rng.random() < 0.3:
        house = f"{rng.randint(1, 99999)} {house}"
    if rng.random() < 0.45:
        numbers = [str(rng.randint(1, 999)).zfill(3), str(rng.randint(1, 40)), "B"]
        unit = f"{rng.choice(UNITS)} {rng.choice(numbers)}"
    town = [city_name()]
    if rng.random() < 0.5:
        town.insert(rng.randint(0, 1), postcode())
    parts = [house, unit, " ".join(town)]
    if rng.random() < 0.3:
        parts.append(rng.choice(STATES))
    if rng.random() < 0.5:
        parts.append(country() + (f" {postcode()}" if rng.random() < 0.4 else ""))
    joint = rng.choice([", ", ", ", "\n", " ", "\n ", " \n", "\n, ", " - "])
    kept = [part for part in parts if part]
    text = joint.join(kept)
    return text if rng.random() < 0.8 else kept[0] + "\n" + ", ".join(kept[1:])


def military() -> str:
    """Post of the armed forces, and post boxes."""
    number = rng.randint
    end = f"{rng.choice(['AP', 'AE', 'AA'])} {number(1, 99999):05}"
    return rng.choice(
        [
            f"PSC {number(1, 9999):04}, Box {number(1, 9999)}\nAPO {end}",
            f"Unit {number(1, 9999):04} Box {number(1, 9999)}\nDPO {end}",
            f"USNS {last()}\nFPO {end}",
            f"P.O. Box {number(1, 9999)}, {city_name()} {postcode()}",
            f"PO Box {number(1, 9999)}, {city_name()}",
            f"Postfach {number(1, 9999)}, {postcode()} {city_name()}",
        ]
    )


def org() -> str:
    """A firm, an office, a school: real, or made up in the ways that firms are named."""
    form = rng.random()
    if form < 0.17:
        return str(rng.choice(FIRMS))
    if form < 0.25:
        return odd_org()
    if form < 0.42:
        return str(faker().company())
    if form < 0.6:
        parts = [rng.choice(PLAIN), rng.choice([*PLAIN, *ALONE])]
        joint = rng.choice(["", "", " "])
        return (
            parts[0].capitalize()
            + joint
            + (parts[1].lower() if not joint and rng.random() < 0.6 else parts[1].capitalize())
        )
    if form < 0.7:
        stem = rng.choice(PLAIN)[: rng.randint(3, 6)]
        return stem.capitalize() + rng.choice(
            [
                "ly",
                "ify",
                "io",
                "ora",
                "ix",
                "ex",
                "us",
                "ent",
                "ium",
                "ica",
                "ado",
                "era",
                "ster",
                "hub",
                "lytics",
                "soft",
                "tech",
                "net",
            ]
        )
    if form < 0.8:
        return f"{last()}{rng.choice([' & ', ' and ', ', '])}{last()}" + rng.choice(
            ["", "", " LLP", " Ltd", " and Sons", " GmbH"]
        )
    if form < 0.92:
        return f"{rng.choice([plain_name, last, city_name])()} {rng.choice(ALONE)}" + rng.choice(
            ["", "", "", " Inc.", " Ltd", " Group", " AG", " S.A."]
        )
    of = rng.choice(["University", "Bank", "Museum", "Institute", "City", "Port"])
    return f"{of} of {city_name()}"


def odd_org() -> str:
    """Named with ordinary words."""
    parts = [
        word(rng.choice(["noun", "noun", "adj", "verb"])) for _ in range(rng.choice([1, 2, 2, 3]))
    ]
    parts = [part.capitalize() for part in parts]
    if len(parts) > 1 and rng.random() < 0.15:
        parts.insert(1, rng.choice(["&", "and", "And", "of"]))
    if rng.random() < 0.35:
        parts.append(rng.choice([*ALONE, "Inc", "Inc.", "Ltd", "Company", "Incorporated", "LLC"]))
    return " ".join(parts)


def date() -> str:
    """A day, in some country's order."""
    day = faker().date_object()
    month = day.strftime(rng.choice(["%B", "%b"]))
    slash = rng.choice("/.-/")
    forms = [
        day.isoformat(),
        f"{day.month}{slash}{day.day}{slash}{day.year}",
        f"{day.day}{slash}{day.month:02}{slash}{day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day} {month} {day.year}",
        f"{month} {day.year}",
        f"{day.day}th of {month}",
        str(day.year),
    ]
    return str(rng.choice(forms))


def number(low: int, high: int) -> Callable[[], str]:
    """A number between."""
    return lambda: str(rng.randint(low, high))


def job() -> str:
    """What somebody does for a living."""
    name = rng.choice(JOBS) if rng.random() < 0.6 else str(fakers["en_US"].job())
    return str(name if rng.random() < 0.6 else name.lower())


def money() -> str:
    """An amount."""
    amount = f"{rng.randint(1, 9999):,}.{rng.randint(0, 99):02}"
    return rng.choice(
        [f"${amount}", f"{amount} EUR", f"£{rng.randint(1, 900)}", f"{rng.randint(2, 90)} dollars"]
    )


def phone() -> str:
    """A telephone number."""
    return str(faker().phone_number())


def word(part: str) -> str:
    """An ordinary word: two of three times a frequent one."""
    return str(rng.choice(WORDS[part] if rng.random() < 0.65 else RARE[part]))


def inflected(end: str) -> str:
    """A verb with an ending."""
    verb = word("verb")
    stem = verb[:-1] if verb[-1] == "e" and end[0] == "e" else verb
    return f"{stem}{end}"


FILL: Final[dict[str, Callable[[], str]]] = {
    "person": person,
    "first": first,
    "last": last,
    "org": org,
    "city": city,
    "country": country,
    "address": address,
    "street": street,
    "job": job,
    "date": date,
    "money": money,
    "phone": phone,
    "qaddress": lambda: address().replace("\n", "\n> "),
    "nrp": lambda: str(rng.choice(DEMONYMS)),
    "nrps": lambda: str(rng.choice(DEMONYMS)) + "s",
    "prefix": lambda: str(rng.choice(PREFIXES)),
    "year": number(1900, 2029),
    "age": number(1, 99),
    "num": lambda: str(rng.randint(100, 10 ** rng.randint(3, 10))),
    "small": number(2, 60),
    "percent": lambda: f"{rng.randint(1, 99)}{rng.choice(['%', ' %', ' percent'])}",
    "noun": lambda: word("noun"),
    "verb": lambda: word("verb"),
    "adj": lambda: word("adj"),
    "adv": lambda: word("adv"),
    "Verbed": lambda: inflected("ed").capitalize(),
    "acro": lambda: "".join(rng.choices("ABCDEFGHIKLMNOPRSTUVW", k=rng.randint(2, 5))),
    "roman": lambda: rng.choice(_ROMAN),
    "verbed": lambda: inflected("ed"),
    "verbs": lambda: inflected("s"),
    "Noun": lambda: word("noun").capitalize(),
    "Adj": lambda: word("adj").capitalize(),
    "Adv": lambda: word("adv").capitalize(),
    "Verb": lambda: word("verb").capitalize(),
    "time": lambda: f"{rng.randint(1, 23)}:{rng.randint(0, 59):02}{rng.choice(['', ' am', ' pm'])}",
    "email": lambda: str(faker().email()),
    "url": lambda: str(fakers["en_US"].url()),
    "ip": lambda: str(fakers["en_US"].ipv4()),
    "iban": lambda: str(fakers["de_DE"].iban()),
    "card": lambda: str(fakers["en_US"].credit_card_number()),
}
