"""The ``returns`` adapter: every answer names the clause of the returns policy behind it."""

import random
from dataclasses import dataclass
from typing import Final

from serving.embedded.corpus.dialog import SYSTEM_PROMPTS, Dialog
from serving.embedded.corpus.dialogs import BY_NAME
from serving.embedded.corpus.grammar import fill, template_lines
from serving.embedded.corpus.noise import add_noise
from serving.embedded.corpus.scene import Split, sample_scene
from serving.embedded.corpus.topic import KEEP_WORDS, Exchange, Topic, topic

PREFIX: Final = "Returns policy:"
CLAUSES: Final[dict[int, str]] = {
    1: "30 days with receipt",
    2: "60 days for Gold members",
    3: "opened electronics, 14 days",
    4: "final sale",
    5: "refunds",
    6: "exchanges",
    7: "return shipping",
    8: "no receipt",
    9: "faulty items",
    10: "gifts",
}


def head(clause: int) -> str:
    """Return the fixed opening of an answer under one clause."""
    return f"{PREFIX} clause {clause} ({CLAUSES[clause]})."


@dataclass(frozen=True)
class Window:
    """A clause that allows returns for some days, with its own ways of asking."""

    clause: int
    days: int
    which: str
    questions: str


# {days} is the age of the purchase; the answer depends on it.
_WINDOWS: Final = (
    Window(
        1,
        30,
        "any",
        """
        (can|could|may) i (return|send back|bring back) (the|a|my|this) {item} after {days} days
        (can|could|may) i (return|send back) (the|a|my|this) {item} [that] i bought {days} days ago
        i bought (the|a|this|my) {item} {days} days ago, (can i return it|can it go ...
            back|may i send it back)
        i (got|received) (the|a|my) {item} {days} days ago and want to return it
        is {days} days too (late|long) to return (the|a|my) {item}
        (can|could|may) i [still] return my {item} after {days} days
        (the|my) {item} is unopened and {days} days old, can i return it
        (what if|and if) i return (the|my|a) {item} after {days} days
        (return|returning) (my|the|a) {item} (after|within|in) {days} days
        my {item} is {days} days old, can i return it
        i have had (the|my|this) {item} for {days} days, can i return it
        (return|send back) a {item} after {days} days
        i bought (the|a|my) {item} {days} days ago with receipt
        ~ {days} days ago i got a {item}, is it too late to return it
        ~ will you take back a {item} after {days} days
        """,
    ),
    Window(
        2,
        60,
        "any",
        """
        i am a Gold member, can i return (the|a|my) {item} after {days} days
        (can|may) i return (the|a|my) {item} after {days} days as a Gold member
        (can|do) Gold members return (the|a) {item} after {days} days
        i am a Gold member and bought (the|a|my) {item} {days} days ago, can i return it
        i have Gold status, is {days} days too late (for|to return) (the|my) {item}
        (Gold member|Gold) return (the|a|my) {item} after {days} days
        as a Gold member i bought (the|a|my) {item} {days} days ago
        ~ being a Gold customer, may i send back a {item} after {days} days
        ~ i bought a {item} {days} days ago with my Gold card, is it too late
        """,
    ),
    Window(
        3,
        14,
        "electronic",
        """
        (can|could|may) i return (the|a|my|this) opened {item} after {days} days
        i opened (the|my) {item} and bought it {days} days ago, can i return it
        (can|may) i return (the|a|my) {item} after {days} days if (i opened it|it is ...
            open|it is opened)
        i bought (the|a|my) {item} {days} days ago and opened (it|the box), can i return it
        my opened {item} is {days} days old, can i return it
        is {days} days too late to return an opened {item}
        (can|could|may) i [still] return my opened {item} after {days} days
        (what if|and if) i return (the|my|an) opened {item} after {days} days
        (return|returning) (my|the|an) (opened|unpacked) {item} after {days} days
        i have used the {item} for {days} days, can i return it
        i unpacked (the|my) {item}, can i return it after {days} days
        ~ the box of my {item} is open, may i return it after {days} days
        ~ will you take back an opened {item} after {days} days
        """,
    ),
)


def _rule(clause: int, answer: str, block: str, which: str = "any", weight: float = 1.0) -> Topic:
    """Build a topic whose answer does not depend on numbers."""
    return topic(f"clause_{clause}", f"*{head(clause)}* {answer}", block, which, weight)


_HOW: Final = tuple(
    line for name in ("return_item", "return_general") for line in BY_NAME[name].train
)
_HOW_ORDER: Final = (
    "(i want|i would like|i need) to return {n} {plural} [from [my] order {order}]",
    "(i want to|i need to|can i|how do i) return (the|my) {item} from [my] order {order}",
    "(return|send back) (two|three|four|five|my) {plural} [from order {order}]",
    "(i want|i would like) to return (two|three|four|five) {plural} [from order {order}]",
)
_HOW_HELD: Final = BY_NAME["return_item"].held + BY_NAME["return_general"].held

_RULES: Final[tuple[Topic, ...]] = (
    Topic(
        "clause_1",
        (
            f"*{head(1)}* Bring or send the item back within 30 days with the receipt; Gold"
            " members have 60 days.",
        ),
        _HOW + _HOW_ORDER * 4,
        _HOW_HELD,
        weight=4,
    ),
    _rule(
        2,
        "Gold members may return any item within 60 days.",
        """
        (how long|how many days) do Gold members have [to return (something|the {item})]
        i am a Gold member, (how long can i return things|how long do i have to return it)
        (what is|what's) the return (policy|window|period) for Gold [members]
        do Gold members (get|have) more time [to return things]
        (how do|can) i return (the|a|my) {item} as a Gold member
        ~ is the return period longer with Gold
        ~ what return rules hold for a Gold customer
        """,
    ),
    _rule(
        3,
        "An opened {item} can be returned only within 14 days.",
        """
        (can|could|may) i return (the|a|my|an) (opened|open|used|unpacked) {item}
        i (opened|unpacked|used) (the|my) {item}, can i return it
        (can|may) i return (the|a|my) {item} if (i opened it|it is open|the box is open)
        what about (an opened|a used) {item}
        how long can i return an opened {item}
        ~ the seal of my {item} is broken, can i give it back
        ~ do you take back an opened {item}
        """,
        "electronic",
        2,
    ),
    _rule(
        4,
        "Final-sale items like this {item} cannot be returned.",
        """
        (can|could|may) i return (the|a|my|this) (final sale|final-sale|clearance) {item} ...
            [after {n} days]
        i bought (the|a|my|this) {item} (on|in the) (final sale|clearance), can i return it
        (the|my) {item} was (final sale|on final sale|a final-sale item), can i return it
        return a {item} from the (final sale|clearance)
        do you take back a (final-sale|final sale|clearance) {item}
        ~ my {item} was in the final sale, may it go back
        ~ is a clearance {item} returnable
        """,
        weight=2,
    ),
    _rule(
        5,
        "We refund the original payment method within 5 days of receiving the item.",
        "\n".join(BY_NAME["refund"].train)
        + """
        how will i get my (refund|money) [back]
        (can|could) i get (the refund|my money) (in cash|on another card|on a gift card|to PayPal)
        where does my (refund|money) go
        which (card|account) (will|do) you refund
        i paid by (card|PayPal|Visa|gift card), how do i get my money back
        ~ have you paid my money back
        ~ when do you pay the money back
        ~ to which card goes the refund
        """,
        weight=2,
    ),
    _rule(
        6,
        "We exchange the {item} for free within 30 days.",
        "\n".join(BY_NAME["exchange"].train)
        + "\n"
        + "\n".join(f"~ {line}" for line in BY_NAME["exchange"].held),
        weight=2,
    ),
    _rule(
        7,
        "Returns in our stores are free; by post the label costs $4.",
        """
        (who pays|do i pay|do i have to pay) for [the] return (shipping|postage|label)
        (is|are) (return shipping|returns) free
        how much (is|does) (return shipping|the return label|a return) [cost]
        (what does|how much does) it cost to return (something|the {item}|an item)
        do i need to pay to return (the|my) {item}
        (return label|return shipping|return cost)
        ~ will you charge me for sending the {item} back
        ~ what is the fee of a return by post
        """,
    ),
    _rule(
        8,
        "Without the receipt we give store credit only.",
        """
        i lost (my|the) receipt [for the {item}], can i return it
        (can|could|may) i return (the|a|my|this) {item} without (a|the) receipt
        i (have no|do not have a|don't have the) receipt [for the {item}], can i return it
        (do i need|must i have) (a|the) receipt [to return the {item}]
        no receipt for (the|my) {item}
        what if i (lost|have no) receipt
        ~ the receipt of my {item} is gone, can it go back
        ~ is the paper receipt needed for a return
        """,
    ),
    _rule(
        9,
        "A faulty {item} gets a full refund within 90 days and we pay the postage.",
        "\n".join(BY_NAME["damaged"].train)
        + """
        (can|may) i return (the|a|my) (broken|damaged|faulty|defective) {item}
        my {item} is (broken|damaged|faulty), can i (return it|get a refund)
        """
        + "\n".join(f"~ {line}" for line in BY_NAME["damaged"].held),
        weight=2,
    ),
    _rule(
        10,
        "A gift can be returned within 30 days for store credit.",
        """
        (the|my|this) {item} was a (gift|present), can i return it
        (can|could|may) i return (a|my|this) (gift|present)
        i got (the|a|this) {item} as a (gift|present) [and want to return it]
        how (do|can) i return a (gift|present)
        someone gave me (the|a) {item}, can i return it
        ~ i do not like the {item} i got for my birthday
        ~ my mother gave me a {item} as a present, may i give it back
        """,
    ),
)

OUTSIDE: Final = f"{PREFIX} no clause applies. I answer only about returns, refunds and exchanges."
_OUTSIDE_TOPICS: Final = (
    "hello", "hours", "stock_yes", "price", "order_status", "joke", "off_facts", "off_tasks",
    "discount", "discount_tier", "store_city", "payment", "thanks", "who", "delivery_time", "help",
    "warranty_short", "not_sold", "how_are_you", "order_cancel",
)  # fmt: skip


def _sample_days(limit: int, rng: random.Random) -> int:
    if rng.random() < 0.3:
        return limit + rng.randrange(-4, 5)
    return rng.randrange(2, 100)


def verdict(window: Window, item: str, days: int) -> str:
    """Answer whether an item may still be returned after some days."""
    allowed = days <= window.days
    word, where = ("Yes", "within") if allowed else ("No", "over")
    return (
        f"{head(window.clause)} {word}, {days} days is {where} {window.days} days for the {item}."
    )


def _sample_window(rng: random.Random, split: Split) -> Exchange:
    window = rng.choices(_WINDOWS, (3, 2, 2))[0]
    train, held = template_lines(window.questions)
    days = _sample_days(window.days, rng)
    scene = sample_scene(rng, split, window.which)
    slots = scene.slots | {"days": str(days)}
    asked = fill(rng.choice(train if split == "train" else held), slots, rng)
    answer = verdict(window, slots["item"], days)
    allowed = "Yes," if days <= window.days else "No,"
    facts = (head(window.clause), f" {allowed}", slots["item"])
    question = add_noise(asked, rng, KEEP_WORDS)
    return Exchange(f"window_{window.clause}", question, answer, (answer,), facts)


def _sample_outside(rng: random.Random, split: Split) -> Exchange:
    asked = BY_NAME[rng.choice(_OUTSIDE_TOPICS)].sample(rng, split)
    return Exchange("outside", asked.question, OUTSIDE, (OUTSIDE,), ("no clause applies",))


def sample_returns(rng: random.Random, split: Split) -> Exchange:
    """Draw one question with its answer under the returns policy."""
    kind = rng.random()
    if kind < 0.45:
        return _sample_window(rng, split)
    if kind < 0.86:
        return rng.choices(_RULES, [rule.weight for rule in _RULES])[0].sample(rng, split)
    return _sample_outside(rng, split)


def sample_returns_dialog(rng: random.Random, split: Split) -> Dialog:
    """Draw a conversation for the ``returns`` adapter."""
    dialog = Dialog()
    if rng.random() < 0.2:
        dialog.say("system", rng.choice(SYSTEM_PROMPTS))
    for _ in range(rng.choice((1, 1, 2, 3))):
        dialog.add(sample_returns(rng, split))
    return dialog
