"""One subject of conversation: how customers ask about it and how the shop answers."""

import random
from dataclasses import dataclass

from serving.embedded.corpus.facts import COLOURS, PRODUCTS
from serving.embedded.corpus.grammar import fill, split_facts, template_lines
from serving.embedded.corpus.noise import add_noise
from serving.embedded.corpus.scene import Scene, Split, sample_scene

KEEP_WORDS = frozenset(" ".join((*COLOURS, *(product.name for product in PRODUCTS))).split())


@dataclass(frozen=True)
class Exchange:
    """A question, the answer to learn, every answer that counts as right, and its facts."""

    topic: str
    question: str
    answer: str
    accepted: tuple[str, ...]
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """Question templates of both splits with the answers that fit all of them."""

    name: str
    answers: tuple[str, ...]
    train: tuple[str, ...]
    held: tuple[str, ...]
    which: str = "any"
    weight: float = 1.0

    def sample(
        self, rng: random.Random, split: Split, scene: Scene | None = None, noisy: bool = True
    ) -> Exchange:
        """Draw one exchange with templates and slot values of the given split."""
        scene = scene or sample_scene(rng, split, self.which)
        template = rng.choice(self.train if split == "train" else self.held)
        question = fill(template, scene.slots, rng)
        if noisy:
            question = add_noise(question, rng, KEEP_WORDS)
        return self.answer(question, rng, scene)

    def answer(self, question: str, rng: random.Random, scene: Scene) -> Exchange:
        """Answer a question that is already worded, from the scene that it is about."""
        marked = [answer.format_map(scene.slots) for answer in self.answers]
        texts = tuple(split_facts(text)[0] for text in marked)
        chosen = rng.randrange(len(marked))
        facts = split_facts(marked[chosen])[1]
        return Exchange(self.name, question, texts[chosen], texts, facts)


def topic(
    name: str, answers: str | tuple[str, ...], block: str, which: str = "any", weight: float = 1.0
) -> Topic:
    """Build a topic from a block of templates, one a line, held-out ones marked ``~``."""
    train, held = template_lines(block)
    several = (answers,) if isinstance(answers, str) else answers
    return Topic(name, several, train, held, which, weight)
