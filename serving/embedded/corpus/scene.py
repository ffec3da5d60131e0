"""A scene fixes the slot values that a question and its answer share."""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from serving.embedded.corpus.facts import (
    COLOURS,
    COUNTRIES,
    NOT_SOLD,
    OTHER_CITIES,
    PRODUCTS,
    STORES,
    TIER_PERCENT,
    TIER_SPEND,
    Product,
)

Split = Literal["train", "held"]

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ONSETS: Final = ("b", "dr", "f", "gl", "k", "l", "m", "pl", "r", "s", "t", "v", "w", "z", "sn")
_RIMES: Final = ("a", "e", "i", "o", "u", "ar", "en", "ip", "ock", "um", "ib", "azz")


def order_is_held(order: str) -> bool:
    """Tell whether an order number is kept out of training."""
    return zlib.crc32(order.encode()) % 10 == 7


def item_is_held(item: str) -> bool:
    """Tell whether a colour and product pair is kept out of training."""
    return zlib.crc32(item.encode()) % 8 == 0


def sample_order(rng: random.Random, split: Split) -> str:
    """Draw an order number, a letter and four digits, of the given split."""
    while True:
        order = rng.choice(_LETTERS) + f"{rng.randrange(10_000):04d}"
        if order_is_held(order) == (split == "held"):
            return order


def colour_item(product: Product, rng: random.Random, split: Split) -> str:
    """Name the product with a colour, so that the pair belongs to the given split."""
    items = [f"{colour} {product.name}" for colour in COLOURS]
    fitting = [item for item in items if item_is_held(item) == (split == "held")]
    return rng.choice(fitting or items)


def with_article(noun: str) -> str:
    """Put the right indefinite article before a noun."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def odd_word(rng: random.Random) -> str:
    """Invent a word that means nothing, so that unknown goods are declined too."""
    parts = [rng.choice(_ONSETS) + rng.choice(_RIMES) for _ in range(rng.choice((1, 2, 2, 3)))]
    return "".join(parts)


_WHICH: Final[dict[str, Callable[[Product], bool]]] = {
    "in_stock": lambda product: product.in_stock,
    "out_of_stock": lambda product: not product.in_stock,
    "electronic": lambda product: product.electronic,
    "plain": lambda product: not product.electronic,
    "any": lambda _: True,
}


@dataclass(frozen=True)
class Scene:
    """The slot values of one exchange and the product that it is about."""

    slots: dict[str, str]
    product: Product


def sample_scene(
    rng: random.Random, split: Split, which: str = "any", product: Product | None = None
) -> Scene:
    """Draw a scene; ``which`` limits the products that it may be about."""
    chosen = product or rng.choice([item for item in PRODUCTS if _WHICH[which](item)])
    coloured = rng.random() < 0.45
    item = colour_item(chosen, rng, split) if coloured else chosen.name
    strange = rng.choice(NOT_SOLD) if rng.random() < 0.6 else odd_word(rng)
    city, tier = rng.choice(list(STORES)), rng.choice(list(TIER_PERCENT))
    slots = {
        "item": item,
        "a_item": with_article(item),
        "plural": item.removesuffix(chosen.name) + chosen.plural,
        "price": str(chosen.price),
        "order": sample_order(rng, split),
        "city": city,
        "street": STORES[city],
        "other_city": rng.choice(OTHER_CITIES),
        "country": rng.choice(COUNTRIES),
        "tier": tier,
        "percent": str(TIER_PERCENT[tier]),
        "spend": str(TIER_SPEND[tier]),
        "strange": strange,
        "a_strange": with_article(strange),
        "n": str(rng.randrange(2, 100)),
        "m": str(rng.randrange(2, 100)),
    }
    return Scene(slots, chosen)
