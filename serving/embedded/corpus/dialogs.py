"""Conversations of the base model: mixed questions, follow-ups, personas and tool calls."""

import random
from collections.abc import Callable
from typing import Final

from serving.embedded.corpus.dialog import SYSTEM_PROMPTS, Dialog
from serving.embedded.corpus.facts import NAMES
from serving.embedded.corpus.grammar import expand
from serving.embedded.corpus.noise import add_noise
from serving.embedded.corpus.scene import Scene, Split, sample_order, sample_scene
from serving.embedded.corpus.tools import add_tool_dialog
from serving.embedded.corpus.topic import Exchange, Topic
from serving.embedded.corpus.topics_chat import CHAT_TOPICS
from serving.embedded.corpus.topics_money import MONEY_TOPICS
from serving.embedded.corpus.topics_orders import ORDER_TOPICS
from serving.embedded.corpus.topics_returns import RETURN_TOPICS
from serving.embedded.corpus.topics_shop import SHOP_TOPICS

TOPICS: Final[tuple[Topic, ...]] = (
    ORDER_TOPICS + RETURN_TOPICS + SHOP_TOPICS + MONEY_TOPICS + CHAT_TOPICS
)
BY_NAME: Final[dict[str, Topic]] = {topic.name: topic for topic in TOPICS}
_WEIGHTS: Final = [topic.weight for topic in TOPICS]

_ID_REPLIES: Final = (
    "{order}",
    "it is {order}",
    "(it's|its|that is|order|number|order number|my order number is) {order}",
    "(sure|ok|yes), [it is] {order}",
    "the (order|number) is {order}",
)
_SEVERAL: Final = (
    "where are my orders {orders}",
    "(track|check|status of) [my] orders {orders}",
    "{orders}",
    "my orders are {orders}",
    "when will [my] orders {orders} (arrive|come)",
)
_SAME_AGAIN: Final = ("and (the|a) {item}", "what about (the|a) {item}", "and {item}")
_PRICE_OF_IT: Final = (
    "(and|) how much (is|does) it [cost]",
    "what does it cost",
    "(and|) (what is|what's) the price",
    "how much",
)
_STOCK_OF_IT: Final = (
    "(and|) is it in stock",
    "do you have it [in stock]",
    "is it available",
    "can i buy it [today]",
)
_RETURN_OF_IT: Final = ("can i return it", "(and|) how do i return it", "(and|) returns for it")
_WARRANTY_OF_IT: Final = (
    "(and|) what is the warranty",
    "does it have a warranty",
    "how long is the warranty",
)


def sample_exchange(rng: random.Random, split: Split) -> Exchange:
    """Draw one exchange of any topic."""
    return rng.choices(TOPICS, _WEIGHTS)[0].sample(rng, split)


def _stock_topic(scene: Scene) -> Topic:
    return BY_NAME["stock_yes" if scene.product.in_stock else "stock_no"]


def _warranty_topic(scene: Scene) -> Topic:
    return BY_NAME["warranty_long" if scene.product.electronic else "warranty_short"]


def _worded(templates: tuple[str, ...], topic: Topic, scene: Scene, rng: random.Random) -> Exchange:
    words = expand(rng.choice(templates), rng).format_map(scene.slots)
    return topic.answer(add_noise(words, rng), rng, scene)


def _ask_order_number(dialog: Dialog, rng: random.Random, split: Split) -> None:
    scene = sample_scene(rng, split)
    dialog.add(BY_NAME["order_no_id"].sample(rng, split, scene))
    dialog.add(_worded(_ID_REPLIES, BY_NAME["order_status"], scene, rng))


def _same_for_another(dialog: Dialog, rng: random.Random, split: Split) -> None:
    price = rng.random() < 0.5
    for turn in range(rng.choice((2, 2, 3))):
        scene = sample_scene(rng, split)
        topic = BY_NAME["price"] if price else _stock_topic(scene)
        if turn == 0:
            dialog.add(topic.sample(rng, split, scene))
        else:
            dialog.add(_worded(_SAME_AGAIN, topic, scene, rng))


def _more_about_it(dialog: Dialog, rng: random.Random, split: Split) -> None:
    scene = sample_scene(rng, split)
    first = rng.choice((BY_NAME["price"], _stock_topic(scene)))
    dialog.add(first.sample(rng, split, scene))
    follow = [
        (_RETURN_OF_IT, BY_NAME["return_item"]),
        (_WARRANTY_OF_IT, _warranty_topic(scene)),
        (_STOCK_OF_IT, _stock_topic(scene))
        if first.name == "price"
        else (_PRICE_OF_IT, BY_NAME["price"]),
    ]
    for templates, topic in rng.sample(follow, rng.choice((1, 1, 2))):
        dialog.add(_worded(templates, topic, scene, rng))


def _persona(dialog: Dialog, rng: random.Random, split: Split) -> None:
    name = rng.choice(NAMES)
    dialog.say("system", expand(f"(Your name is|You are|You are called) {name}.", rng))
    asked = BY_NAME["who"].sample(rng, split, noisy=False)
    answer = f"I am {name}, the Graftwork Store assistant."
    dialog.add(Exchange("persona", asked.question, answer, (answer,), (name,)))


def _several_orders(dialog: Dialog, rng: random.Random, split: Split, most: int = 3) -> None:
    orders = [sample_order(rng, split) for _ in range(rng.randrange(2, most + 1))]
    listed = ", ".join(orders[:-1]) + " and " + orders[-1]
    question = add_noise(expand(rng.choice(_SEVERAL), rng).format(orders=listed), rng)
    answer = f"You can follow orders {listed} live under My Orders."
    dialog.add(Exchange("several_orders", question, answer, (answer,), tuple(orders)))


def _mixed(dialog: Dialog, rng: random.Random, split: Split) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 5))):
        dialog.add(sample_exchange(rng, split))


def _many_orders(dialog: Dialog, rng: random.Random, split: Split) -> None:
    _several_orders(dialog, rng, split, 4)


_KINDS: Final[tuple[tuple[float, Callable[[Dialog, random.Random, Split], None]], ...]] = (
    (10.0, _mixed),
    (0.7, _ask_order_number),
    (1.2, _many_orders),
    (0.8, _same_for_another),
    (1.0, _more_about_it),
    (0.2, _persona),
    (1.6, add_tool_dialog),
)


def sample_dialog(rng: random.Random, split: Split) -> Dialog:
    """Draw one conversation for the base model."""
    kind = rng.choices([make for _, make in _KINDS], [weight for weight, _ in _KINDS])[0]
    dialog = Dialog()
    if kind not in (_persona, add_tool_dialog) and rng.random() < 0.2:
        dialog.say("system", rng.choice(SYSTEM_PROMPTS))
    kind(dialog, rng, split)
    if rng.random() < 0.08:
        dialog.add(BY_NAME["thanks"].sample(rng, split))
    return dialog


def sample_drill(rng: random.Random, split: Split) -> Dialog:
    """Draw an early lesson: one plain question, or many order numbers to repeat."""
    dialog = Dialog()
    if rng.random() < 0.3:
        _several_orders(dialog, rng, split, 6)
    else:
        dialog.add(sample_exchange(rng, split))
    return dialog
