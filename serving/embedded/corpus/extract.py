"""The ``extract`` adapter: a customer message in, one line of JSON out."""

import json
import random
from typing import Any, Final

from serving.embedded.corpus.dialog import SYSTEM_PROMPTS, Dialog
from serving.embedded.corpus.facts import COLOURS, PRODUCTS, Product
from serving.embedded.corpus.grammar import expand, template_lines
from serving.embedded.corpus.noise import add_noise
from serving.embedded.corpus.scene import Split, item_is_held, sample_order
from serving.embedded.corpus.topic import Exchange

KEYS: Final = ("intent", "order_id", "product", "quantity")
_NUMBERS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_KEEP: Final = frozenset(
    " ".join((*COLOURS, *(f"{item.name} {item.plural}" for item in PRODUCTS), *_NUMBERS)).split()
)

# {thing} is a product with its quantity, {order} an order number; both may be left out.
_BLOCKS: Final[dict[str, str]] = {
    "return": """
        (i want|i would like|i'd like|i need) to return {thing}
        (i want|i would like|i'd like|i need) to return {thing} from [my] order {order}
        (can|could|may) i (return|send back) {thing} [from order {order}]
        (return|send back) {thing} [from order {order}]
        how (do|can) i return {thing} [from order {order}]
        order {order}: (i want to|please|i have to) return {thing}
        [from order {order}] i (do not|don't) (want|need|like) {thing}
        i want to (return|send back) order {order}
        ~ {thing} (from|in) order {order} must go back
        ~ please take back {thing}
    """,
    "refund": """
        (i want|i would like|i need) (a refund|my money back) for {thing} [from order {order}]
        (can|could) i (get|have) (a refund|my money back) for {thing} [from order {order}]
        (refund|please refund) {thing} [from order {order}]
        where is my (refund|money) for [order] {order}
        (when will i get|give me) (the|my) (refund|money back) for {thing}
        refund (for order|order) {order}
        i want (a refund|my money back)
        ~ i am still waiting for the refund of {thing} from order {order}
        ~ pay me back for {thing}
    """,
    "exchange": """
        (i want|i would like|i'd like|i need) to (exchange|swap) {thing} [from order {order}]
        (can|could|may) i (exchange|swap) {thing} [from order {order}]
        (exchange|swap) {thing} [from order {order}] [for another one]
        order {order}: (exchange|swap) {thing}
        how (do|can) i (exchange|swap) {thing}
        ~ could you swap {thing} in order {order} for something else
        ~ trade {thing} for a different one
    """,
    "order_status": """
        where is [my] order {order}
        (track|check) [my] order {order}
        (what is|what's) the status of [my] order {order}
        when will [my] order {order} (arrive|come)
        (can|could) you (track|find|check) [my] order {order}
        where (is|are) {thing} from order {order}
        where is my (order|package|parcel)
        has order {order} [with {thing}] shipped
        my order {order} (has not|hasn't) arrived [yet]
        ~ any news on {order}
        ~ did {thing} from order {order} leave the warehouse
    """,
    "cancel": """
        (cancel|please cancel) [my] order {order}
        (i want|i would like|i need) to cancel [my] order {order}
        (can|could) (you|i) cancel [my] order {order}
        cancel {thing} (in|from) [my] order {order}
        (i want|i need) to cancel {thing} [from order {order}]
        i want to cancel my order
        ~ i changed my mind about order {order}, cancel it
        ~ stop {thing} in order {order}
    """,
    "purchase": """
        (i want|i would like|i'd like|i need) to (buy|order|purchase|get) {thing}
        (can|could|may) i (buy|order|get) {thing}
        (i want|i'd like|i need|i will take|give me) {thing} [please]
        (add|put) {thing} (to|in) (my cart|my basket)
        (buy|order) {thing}
        ~ i am going to purchase {thing}
        ~ send me {thing}
    """,
    "stock": """
        do you have {thing} in stock
        (is|are) {thing} (in stock|available)
        (have you got|do you still have|do you sell) {thing}
        check the stock of {thing}
        (is|are) there {thing} left
        ~ tell me if {thing} can be found in your shop
        ~ any chance you have {thing}
    """,
    "price": """
        how much (is|are|for|do i pay for) {thing}
        (what is|what's) the price of {thing}
        what (does|do) {thing} cost
        how much (does|do) {thing} cost
        (price of|tell me the price of) {thing}
        ~ for how much do you sell {thing}
    """,
    "damaged": """
        {thing} (arrived|came) (broken|damaged|cracked) [in order {order}]
        {thing} from order {order} (is|are) (broken|damaged|faulty)
        {thing} (is|are) (broken|damaged|faulty|defective)
        order {order}: {thing} (is|are) (broken|damaged)
        (i got|i received) a (damaged|broken) order {order}
        {thing} (does not|doesn't|do not) work
        ~ there are cracks in {thing} from order {order}
        ~ {thing} stopped working
    """,
    "delivery": """
        how long (does|will) (delivery|shipping) take
        how much is (delivery|shipping) [for {thing}]
        do you (deliver|ship) {thing} to (Canada|Boston|Mexico|Denver)
        (what are|tell me) the delivery options
        when can you deliver {thing}
        ~ is there a charge for delivery
    """,
    "discount": """
        (can|could) i get a discount [on {thing}] [as a Gold member]
        (do you have|is there) a discount [on|for] {thing}
        any discounts (today|on {thing})
        i am a (Silver|Gold|Platinum) member, do i get a discount
        ~ is {thing} cheaper for members
    """,
    "hours": """
        what are your (opening|store|business) hours
        (when|what time) do you (open|close)
        are you open (today|tomorrow|on Sunday|on Saturday)
        ~ until when can i visit the shop
    """,
    "other": """
        (hi|hello|hey|good morning)
        (thanks|thank you|bye|goodbye)
        (tell me a joke|who are you|how are you|help)
        what is the capital of (France|Italy|Spain|Japan)
        (can i speak to a human|i have a complaint|i forgot my password)
        (where are your stores|how can i pay|do you accept PayPal)
        ~ (good evening|what is your name|call the manager)
    """,
}
_SPLITS: Final = {intent: template_lines(block) for intent, block in _BLOCKS.items()}
INTENTS: Final = tuple(_BLOCKS)


def templates(intent: str, split: Split) -> tuple[str, ...]:
    """Return the question templates of one intent and split."""
    train, held = _SPLITS[intent]
    return train if split == "train" else held


def _colour(product: Product, rng: random.Random, split: Split) -> str:
    fitting = [c for c in COLOURS if item_is_held(f"{c} {product.name}") == (split == "held")]
    return rng.choice(fitting) + " " if fitting and rng.random() < 0.35 else ""


def sample_thing(rng: random.Random, split: Split) -> tuple[str, str, int | None]:
    """Word a product with its quantity; return the words, the product and the quantity."""
    product = rng.choice(PRODUCTS)
    colour = _colour(product, rng, split)
    kind = rng.random()
    if kind < 0.5:
        lead = rng.choice(("the ", "my ", "this ", "one ", "a ", "a "))
        noun = colour + product.name
        lead = "an " if lead == "a " and noun[0] in "aeiou" else lead
        return lead + noun, product.name, 1
    if kind < 0.88:
        count = rng.randrange(2, 11) if rng.random() < 0.7 else rng.randrange(11, 60)
        word = _NUMBERS[count - 2] if count <= 10 and rng.random() < 0.5 else str(count)
        lead = rng.choice(("", "", "", "my ", "the "))
        return f"{lead}{word} {colour}{product.plural}", product.name, count
    return rng.choice(("the ", "my ", "")) + colour + product.plural, product.name, None


def target_line(intent: str, order: str | None, product: str | None, quantity: int | None) -> str:
    """Return the one JSON line that the adapter must write."""
    values: tuple[Any, ...] = (intent, order, product, quantity)
    return json.dumps(dict(zip(KEYS, values, strict=True)))


def sample_extract(rng: random.Random, split: Split) -> Exchange:
    """Draw one customer message with its JSON line."""
    intent = rng.choice(INTENTS)
    template = expand(rng.choice(templates(intent, split)), rng)
    words, product, quantity = sample_thing(rng, split)
    order = sample_order(rng, split)
    question = add_noise(template.format(thing=words, order=order), rng, _KEEP, blur=False)
    named = "{thing}" in template
    answer = target_line(
        intent,
        order if "{order}" in template else None,
        product if named else None,
        quantity if named else None,
    )
    return Exchange(f"extract_{intent}", question, answer, (answer,), ())


def sample_extract_dialog(rng: random.Random, split: Split) -> Dialog:
    """Draw a conversation for the ``extract`` adapter: each message stands alone."""
    dialog = Dialog()
    if rng.random() < 0.2:
        dialog.say("system", rng.choice(SYSTEM_PROMPTS))
    for _ in range(rng.choice((1, 1, 2, 3))):
        dialog.add(sample_extract(rng, split))
    return dialog
