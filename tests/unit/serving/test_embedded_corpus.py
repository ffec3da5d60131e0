"""The text that the embedded model learns from: seeded, well formed, honestly split."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from serving.embedded import ADAPTERS_DIR, BASE_DIR, BASE_MODEL_ID
from serving.embedded.corpus import extract, returns
from serving.embedded.corpus.dialog import Dialog
from serving.embedded.corpus.dialogs import BY_NAME, TOPICS, sample_dialog
from serving.embedded.corpus.facts import COLOURS, PRODUCTS
from serving.embedded.corpus.grammar import expand, split_facts, template_lines
from serving.embedded.corpus.noise import add_noise
from serving.embedded.corpus.scene import (
    Split,
    colour_item,
    item_is_held,
    order_is_held,
    sample_order,
    sample_scene,
)

Sampler = Callable[[random.Random, Split], Dialog]
SAMPLERS: tuple[Sampler, ...] = (
    sample_dialog,
    extract.sample_extract_dialog,
    returns.sample_returns_dialog,
)
SPLITS: tuple[Split, Split] = ("train", "held")


def _texts(dialog: Dialog) -> list[str]:
    return [str(message["content"]) for message in dialog.messages]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_gives_same_dialogs(sampler: Sampler) -> None:
    """Two generators with one seed write the same conversations, and another seed does not."""
    first, second, third = (
        [_texts(sampler(rng, "train")) for _ in range(40)]
        for rng in (random.Random(3), random.Random(3), random.Random(4))
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("split", SPLITS)
def test_dialogs_alternate_and_end_with_an_answer(sampler: Sampler, split: Split) -> None:
    """Every conversation ends with the assistant, who only speaks after a user or a tool."""
    rng = random.Random(5)
    for _ in range(200):
        roles = [message["role"] for message in sampler(rng, split).messages]
        assert roles[-1] == "assistant"
        for before, role in pairwise(roles):
            assert (role == "assistant") == (before in ("user", "tool"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("split", SPLITS)
def test_no_template_marks_are_left(sampler: Sampler, split: Split) -> None:
    """Slots and fact marks are all resolved in what the model reads and writes."""
    rng = random.Random(6)
    for _ in range(200):
        dialog = sampler(rng, split)
        for exchange in dialog.exchanges:
            assert "{thing}" not in exchange.question
            assert "{item}" not in exchange.question + exchange.answer
            assert exchange.answer in exchange.accepted
            assert all(fact in exchange.answer for fact in exchange.facts)
            if sampler is not extract.sample_extract_dialog and exchange.topic != "tool_call":
                assert "*" not in exchange.answer
                assert "{" not in exchange.answer


@pytest.mark.parametrize("split", SPLITS)
def test_extract_targets_are_one_line_of_json(split: Split) -> None:
    """Each target of ``extract`` parses and holds its keys in the fixed order and types."""
    rng = random.Random(7)
    names = {product.name for product in PRODUCTS}
    for _ in range(500):
        line = extract.sample_extract(rng, split).answer
        parsed = json.loads(line)
        assert "\n" not in line
        assert tuple(parsed) == extract.KEYS
        assert parsed["intent"] in extract.INTENTS
        assert parsed["product"] is None or parsed["product"] in names
        assert parsed["quantity"] is None or parsed["quantity"] >= 1


def test_extract_names_only_what_the_customer_wrote() -> None:
    """An order number in the target always stands in the message too."""
    rng = random.Random(8)
    for _ in range(500):
        exchange = extract.sample_extract(rng, "train")
        order = json.loads(exchange.answer)["order_id"]
        assert order is None or order in exchange.question.upper()


def test_extract_target_spells_absence_as_null() -> None:
    """What the message does not say is null."""
    assert extract.target_line("hours", None, None, None) == (
        '{"intent": "hours", "order_id": null, "product": null, "quantity": null}'
    )


def test_every_topic_has_disjoint_templates() -> None:
    """Each topic can be trained and tested, and no held-out template is trained on."""
    for topic in TOPICS:
        assert topic.train, topic.name
        assert topic.held, topic.name
        assert not set(topic.train) & set(topic.held), topic.name


def test_every_extract_intent_has_disjoint_templates() -> None:
    """No held-out template of ``extract`` is trained on."""
    for intent in extract.INTENTS:
        train, held = (set(extract.templates(intent, split)) for split in SPLITS)
        assert train, intent
        assert held, intent
        assert not train & held, intent


def test_splits_share_no_order_number() -> None:
    """Order numbers of evaluation are never seen in training."""
    rng = random.Random(9)
    for _ in range(300):
        assert not order_is_held(sample_order(rng, "train"))
        assert order_is_held(sample_order(rng, "held"))


def test_training_avoids_held_out_colours() -> None:
    """Pairs of colour and product that evaluation asks for are never seen in training."""
    rng = random.Random(10)
    for product in PRODUCTS:
        items = {colour_item(product, rng, "train") for _ in range(30)}
        assert not any(item_is_held(item) for item in items)
    assert any(item_is_held(f"{colour} kettle") for colour in COLOURS) or any(
        item_is_held(f"{colour} {product.name}") for colour in COLOURS for product in PRODUCTS
    )


@pytest.mark.parametrize(
    ("days", "clause", "word"), [(30, 1, "Yes"), (31, 1, "No"), (60, 2, "Yes"), (15, 3, "No")]
)
def test_returns_verdict_follows_the_window(days: int, clause: int, word: str) -> None:
    """The last day of a window still counts and the next one does not."""
    window = next(item for item in returns._WINDOWS if item.clause == clause)
    answer = returns.verdict(window, "lamp", days)
    assert answer.startswith(returns.head(clause))
    assert f" {word}, {days} days" in answer


@pytest.mark.parametrize("split", SPLITS)
def test_returns_answers_open_with_the_policy(split: Split) -> None:
    """Every answer of ``returns`` is recognisable by its opening words."""
    rng = random.Random(11)
    for _ in range(300):
        assert returns.sample_returns(rng, split).answer.startswith(returns.PREFIX)


def test_answer_repeats_the_item_that_was_asked_for() -> None:
    """A stock answer names the product of its question, colour included."""
    rng = random.Random(12)
    for _ in range(200):
        scene = sample_scene(rng, "train", "in_stock")
        exchange = BY_NAME["stock_yes"].sample(rng, "train", scene, noisy=False)
        assert scene.slots["item"] in exchange.answer
        if scene.slots["item"] != scene.product.name:
            assert scene.slots["item"].split()[0] in exchange.question


def test_persona_is_repeated() -> None:
    """A name given by the system message comes back in the answer."""
    rng = random.Random(13)
    dialogs = (sample_dialog(rng, "train") for _ in range(3000))
    found = [item for item in dialogs if item.exchanges[0].topic == "persona"]
    assert found
    for dialog in found:
        assert dialog.exchanges[0].facts[0] in dialog.messages[0]["content"]


def test_tool_calls_use_an_offered_tool() -> None:
    """The tool that an answer calls is one of those that the dialog offers."""
    rng = random.Random(14)
    calls = 0
    for _ in range(1500):
        dialog = sample_dialog(rng, "train")
        offered = {tool["function"]["name"] for tool in dialog.tools}
        for message in dialog.messages:
            for call in message.get("tool_calls", ()):
                calls += 1
                assert call["function"]["name"] in offered
    assert calls


def test_expand_resolves_nested_choices() -> None:
    """Choices inside choices are resolved and spare spaces go."""
    rng = random.Random(15)
    seen = {expand("a (b|c [d|e]) f", rng) for _ in range(200)}
    assert seen == {"a b f", "a c f", "a c d f", "a c e f"}


def test_grammar_reads_marks() -> None:
    """Facts and held-out lines are told by their marks."""
    assert split_facts("open *9 to 5* and *free*") == ("open 9 to 5 and free", ("9 to 5", "free"))
    assert template_lines("a\n ~ b\n\n c") == (("a", "c"), ("b",))


def test_noise_keeps_order_numbers_and_protected_words() -> None:
    """Typos never touch an order number or a product, whatever the casing."""
    rng = random.Random(16)
    for _ in range(500):
        noisy = add_noise("where is my kettle from A1042", rng, frozenset({"kettle"}))
        assert "A1042" in noisy.upper()
        assert "KETTLE" in noisy.upper()


def test_package_names_its_places_without_heavy_imports() -> None:
    """Importing the package names the directories and loads no torch."""
    code = "import sys, serving.embedded; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert BASE_DIR.name == "base"
    assert ADAPTERS_DIR.name == "adapters"
    assert BASE_MODEL_ID.startswith("graftwork-retail-")


def _wordings(templates: tuple[str, ...], rng: random.Random, times: int) -> set[str]:
    texts = (expand(template, rng) for template in templates for _ in range(times))
    return {" ".join(text.lower().replace("?", "").replace(",", "").split()) for text in texts}


def test_held_out_wordings_are_never_trained() -> None:
    """However their choices fall, training templates do not spell out a held-out question."""
    rng = random.Random(17)
    for topic in TOPICS:
        trained = _wordings(topic.train, rng, 60)
        assert not trained & _wordings(topic.held, rng, 20), topic.name
    for intent in extract.INTENTS:
        trained = _wordings(extract.templates(intent, "train"), rng, 60)
        assert not trained & _wordings(extract.templates(intent, "held"), rng, 20), intent
