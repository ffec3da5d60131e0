"""The facts of the imaginary shop: what it sells, where its stores are, who its members are."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Product:
    """One product of the closed catalogue."""

    name: str
    plural: str
    price: int
    group: str
    in_stock: bool = True

    @property
    def electronic(self) -> bool:
        """Tell whether the electronics rules (warranty, opened box) apply."""
        return self.group == "electronics"


_CATALOGUE: Final = """
kitchen: kettle 29, toaster 35 -, blender 49, mixer 89, frying pan 25, saucepan 22, knife set 59 -,
 coffee maker 79, teapot 19, mug 8
home: lamp 39, rug 75 -, cushion 14, blanket 27, curtain 45, mirror 55, clock 24, vase 18, candle 9,
 umbrella 16
furniture: chair 65, table 149, bookshelf 119, sofa 499 -, stool 34, desk 139
electronics: headset 99, speaker 69, keyboard 46, mouse 21, monitor 179, tablet 249, charger 17,
 camera 299 -, laptop 699, radio 42, printer 129 -
clothing: backpack 48, jacket 85, scarf 23, coat 115 -
"""

_IRREGULAR: Final = {"mouse": "mice", "bookshelf": "bookshelves", "radio": "radios"}


def _parse_product(entry: str, group: str) -> Product:
    words = entry.split()
    in_stock = words[-1] != "-"
    if not in_stock:
        words.pop()
    name = " ".join(words[:-1])
    plural = _IRREGULAR.get(name, name + "s")
    return Product(name, plural, int(words[-1]), group, in_stock)


def _parse_catalogue(text: str) -> tuple[Product, ...]:
    found: list[Product] = []
    for line in text.strip().replace(",\n ", ", ").splitlines():
        group, entries = line.split(": ")
        found += [_parse_product(entry.strip(), group) for entry in entries.split(",")]
    return tuple(found)


PRODUCTS: Final[tuple[Product, ...]] = _parse_catalogue(_CATALOGUE)
PRODUCT_BY_NAME: Final[dict[str, Product]] = {item.name: item for item in PRODUCTS}
COLOURS: Final = ("red", "blue", "green", "black", "white", "grey", "yellow", "pink")

STORES: Final[dict[str, str]] = {
    "Portland": "12 Market Street",
    "Denver": "48 Union Avenue",
    "Austin": "7 River Road",
    "Boston": "93 Harbor Street",
    "Seattle": "31 Pine Street",
    "Chicago": "205 Lake Avenue",
}
OTHER_CITIES: Final = (
    "Paris", "London", "Berlin", "Madrid", "Rome", "Tokyo", "Miami", "Dallas", "Houston", "Phoenix",
    "Atlanta", "Detroit", "New York", "Los Angeles", "Las Vegas", "Orlando", "Memphis", "Toronto",
    "Dublin", "Vienna", "Sydney", "Nashville", "Oakland", "San Diego",
)  # fmt: skip
COUNTRIES: Final = (
    "Germany", "France", "Spain", "Italy", "Japan", "China", "India", "Brazil", "Australia",
    "Ireland", "Poland", "Norway", "Sweden", "Kenya", "Egypt", "Chile", "Peru", "Turkey", "Greece",
    "Portugal", "Austria", "Belgium", "Denmark", "Finland", "Russia", "Cuba", "Iceland", "Europe",
)  # fmt: skip

TIER_PERCENT: Final[dict[str, int]] = {"Silver": 5, "Gold": 10, "Platinum": 15}
TIER_SPEND: Final[dict[str, int]] = {"Silver": 200, "Gold": 500, "Platinum": 1000}
CARDS: Final = ("Visa", "Mastercard", "American Express", "PayPal", "Apple Pay")

NOT_SOLD: Final = (
    "car", "bicycle", "guitar", "bag of dog food", "shampoo", "pizza", "book", "fridge", "bed",
    "motorbike", "piano", "tent", "drill", "hammer", "lawn mower", "ball", "skateboard", "ring",
    "necklace", "perfume", "sandwich", "boat", "horse", "cat", "washing machine", "dishwasher",
    "treadmill", "pair of shoes", "pair of boots", "dress", "hat", "toy", "board game", "drone",
    "television", "freezer", "vacuum cleaner", "hair dryer", "surfboard", "violin", "drum",
    "bottle of wine", "medicine", "plant", "flower", "ladder", "paint", "tyre", "helmet", "watch",
)  # fmt: skip
NAMES: Final = (
    "Mia", "Leo", "Ava", "Max", "Nina", "Sam", "Zoe", "Ben", "Lily", "Tom", "Eva", "Jack", "Ruby",
    "Hugo", "Iris", "Noah", "Emma", "Oscar", "Clara", "Finn",
)  # fmt: skip
