"""Languages are told by common words and scripts, and English is not taken for another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.corpus.language import language_of

SAID = {
    "en": "How do I send the lamp back?",
    "es": "¿Cómo puedo devolver la lámpara que compré?",
    "pt": "Como posso devolver a minha encomenda? Não está em ordem",
    "fr": "Comment puis-je retourner la lampe que j'ai achetée ?",
    "it": "Vorrei sapere quanto costa la spedizione della lampada",
    "de": "Wie kann ich meine Lampe zurückschicken?",
    "nl": "Hoe kan ik mijn lamp terugsturen? Het is niet goed",
    "sv": "Hur kan jag skicka tillbaka min lampa? Den är trasig och jag vill ha pengarna",
    "da": "Hvordan kan jeg sende min lampe tilbage? Hvad skal jeg gøre",
    "fi": "Miten voin palauttaa lampun? Se ei toimi",
    "pl": "Jak mogę zwrócić lampę? Nie działa i chcę pieniądze",
    "cs": "Jak mohu vrátit lampu? Je rozbitá a prosím o peníze",
    "tr": "Teşekkürler, bu lamba çok kötü, ne zaman yeni bir lamba gelir?",
    "ro": "Cum pot returna lampa mea? Nu este bună",
    "hu": "Hogyan lehet visszaküldeni? Nem jó az a lámpa, kérem",
    "id": "Bagaimana saya bisa mengembalikan lampu ini?",
    "vi": "Tôi muốn trả lại đèn của tôi",
    "und-Cyrl": "Как вернуть лампу?",
    "und-Grek": "Πώς επιστρέφω τη λάμπα;",
    "und-Arab": "كيف أعيد المصباح؟",
    "und-Hani": "我想退货",
    "und-Jpan": "ランプをかえしたいです",
    "und-Hang": "램프를 반품하고 싶어요",
    "und-Deva": "मैं लैंप वापस करना चाहता हूँ",
}


@pytest.mark.parametrize("language", SAID)
def test_a_question_is_told_by_its_words_or_its_script(language: str) -> None:
    """A customer's ordinary sentence."""
    assert language_of(SAID[language]) == language
    assert language_of(SAID[language].upper()) in {language, "und-Latn"}


@pytest.mark.parametrize(
    "text",
    [
        "Do you deliver crème brûlée from the café La Tasca to El Paso?",
        "order status der Spiegel",
        "lamp",
        "my order is for Mme. de la Tour",
        "refund!!",
        "Can I return the Gnocchi al Pesto con Pollo?",
    ],
)
def test_names_from_elsewhere_make_no_english_text_foreign(text: str) -> None:
    """Whoever asks in English, or in too few words to tell, is read."""
    assert language_of(text) in {"en", "und-Latn"}


@pytest.mark.parametrize(
    ("text", "language"), [("hola", "es"), ("Bonjour", "fr"), ("12 %", "und-Zyyy")]
)
def test_short_texts(text: str, language: str) -> None:
    """One common word is enough where it is half of all."""
    assert language_of(text) == language


@given(st.text())
def test_whatever_is_said_has_a_tag(text: str) -> None:
    """Hostile text as well."""
    tag = language_of(text)
    assert 2 <= len(tag) <= 8
