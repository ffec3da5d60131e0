"""What is found by its form, what only looks like it, and how long a hostile text can take."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.govern.detect import SECRETS, Span, TextTooLong, apart
from router.govern.detect.checksums import luhn
from router.govern.detect.patterns import MAX_CHARS, Patterns

PATTERNS = Patterns()
FOUND = [
    (
        "EMAIL",
        "write to <joe.o'hara+x@example-site.co.uk>, please",
        "joe.o'hara+x@example-site.co.uk",
    ),
    ("EMAIL", "ann@bücher.de", "ann@bücher.de"),
    ("IBAN", "pay DE89 3704 0044 0532 0130 00 and go", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "gb82west12345698765432", "gb82west12345698765432"),
    ("CREDIT_CARD", "card 4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "use 378282246310005", "378282246310005"),
    ("CREDIT_CARD", "my visa 4111-1111-1111-1112 fails", "4111-1111-1111-1112"),
    ("SSN", "it is 536-90-4399", "536-90-4399"),
    ("SSN", "my social security number is 536904399", "536904399"),
    ("PHONE", "+49 30 901820", "+49 30 901820"),
    ("PHONE", "ring me: (212) 555-2368", "(212) 555-2368"),
    ("PHONE", "phone 0393 1144137", "0393 1144137"),
    ("PHONE", "whatsapp 07911123456", "07911123456"),
    ("IP", "from 10.20.30.40:8080", "10.20.30.40"),
    ("IP", "from 2001:db8::ff00:42:8329.", "2001:db8::ff00:42:8329"),
    ("MAC", "adapter 00:1A:2b:3C:4d:5E", "00:1A:2b:3C:4d:5E"),
    ("URL", "see https://www.example.org/a?b=c.", "https://www.example.org/a?b=c"),
    ("URL", "at shop.example.de/basket now", "shop.example.de/basket"),
    ("CRYPTO", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
    (
        "CRYPTO",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    ),
    (
        "CRYPTO",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ),
    ("DATE_TIME", "born on 12 March 1990 in", "12 March 1990"),
    ("DATE_TIME", "dob 3/4/1985", "3/4/1985"),
    ("AGE", "a 65-year-old man", "65"),
    ("AGE", "she turned 41 today", "41"),
    ("DRIVER_LICENSE", "driver's license number is S123-4567.", "S123-4567"),
    ("PASSPORT", "passport no: X1234567", "X1234567"),
    ("BANK_ACCOUNT", "account number 12345678", "12345678"),
    ("SECRET", "AKIAIOSFODNN7EXAMPQZ", "AKIAIOSFODNN7EXAMPQZ"),
    (
        "SECRET",
        "a ghp_16C7e42F292c6912E7710c838347Ae178B4a b",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    ),
    ("SECRET", 'OPENAI_API_KEY="sk-proj-9aKx82Lmq0ZpR4tYvB7n"', "sk-proj-9aKx82Lmq0ZpR4tYvB7n"),
    ("SECRET", "sk-ant-api03-Zk39fQ1xLw88TtGm2YpA", "sk-ant-api03-Zk39fQ1xLw88TtGm2YpA"),
    ("SECRET", "xoxb-123456789012-abcDEF456ghi", "xoxb-123456789012-abcDEF456ghi"),
    ("SECRET", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    (
        "SECRET",
        "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    ),
    (
        "SECRET",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ),
    ("SECRET", "password: Tr0ub4dor&3", "Tr0ub4dor&3"),
    ("URL_CREDENTIALS", "postgres://admin:hunter2x@db.local/x", "admin:hunter2x"),
    (
        "PRIVATE_KEY",
        "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----",
    ),
    ("PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\ncut off", "-----BEGIN PRIVATE KEY-----\ncut off"),
]
NATIONAL = {
    "Argentina": "CUIT 20-12345678-6",
    "Australia": "my tax file number is 123 456 782",
    "Belgium": "85.07.30-033.28",
    "Brazil": "529.982.247-25",
    "Britain": "AB123456C is my national insurance number",
    "Britain, health": "NHS 943 476 5919",
    "Bulgaria": "EGN 7523169263",
    "Canada": "SIN 046 454 286",
    "Chile": "RUT 12.345.678-5",
    "China": "11010519491231002X",
    "Croatia": "OIB 33392005961",
    "Czechia": "736028/5163",
    "Denmark": "CPR 211062-5629",
    "Estonia": "isikukood 37605030299",
    "Finland": "131052-308T",
    "France": "2 55 08 14 168 025 38",
    "Germany": "Steuer-ID 86 095 742 719",
    "India": "Aadhaar 2341 2341 2346",
    "Italy": "RSSMRA85T10A562S",
    "Japan": "my number 123456789018",
    "Korea": "900101-1234568",
    "Netherlands": "BSN 111222333",
    "Norway": "fødselsnummer 01010750160",
    "Poland": "PESEL 44051401359",
    "Portugal": "NIF 123456789",
    "Romania": "CNP 1800101221144",
    "Singapore": "S1234567D",
    "South Africa": "ID number 8001015009087",
    "Spain": "12345678Z",
    "Sweden": "811218-9876",
    "Switzerland": "756.9217.0769.85",
    "Turkey": "TC kimlik 10000000146",
}
OTHER = [
    "Order 4485739 will arrive on platform 9 between 10:30 and 11:45.",
    "Invoice no. 2023004512 for $1,234,567.89, reference 555-123-4567.",
    "Version 1.2.3.4 and Python 3.11.7; release 10.0.0.1-rc is out.",
    "The population is 1 380 004 385 and the ratio 16:9:4:3.",
    "tracking number 1Z999AA10123456784, parcel 420 12345 9205",
    "std::vector<int>::iterator it = a::b; x = 0x7ffde3b1",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "password = os.environ['DB_PASSWORD'] and token = get_token(user)",
    "api_key: <your-api-key>, sk-xxxxxxxxxxxxxxxxxxxxxxxx, password: changeme123",
    "4111 1111 1111 1112 is the number of atoms",
    "DE89 3704 0044 0532 0130 01 is no account",
    "e.g. this, i.e. that; end of sentence.In the next; main.py and README.md",
    "ISBN 978-3-16-148410-0, EAN 4006381333931",
    "open 24/7, 3/4 of 10 000 users, 5-10 days, pages 100-120",
]


def texts_of(entity: str, text: str) -> list[str]:
    """What of one kind is found in a text."""
    return [text[s.start : s.end] for s in PATTERNS.find(text) if s.entity == entity]


@pytest.mark.parametrize(("entity", "text", "value"), FOUND)
def test_each_form_is_found_with_its_borders(entity: str, text: str, value: str) -> None:
    """Neither a sign of the sentence nor a neighbour goes with it."""
    assert texts_of(entity, text) == [value]


@pytest.mark.parametrize("country", NATIONAL)
def test_a_states_number_is_found(country: str) -> None:
    """By its check digits, and by a word where these are too few."""
    found = PATTERNS.find(NATIONAL[country])
    assert [span.entity for span in found] == ["NATIONAL_ID"], found


@pytest.mark.parametrize("country", sorted(NATIONAL.keys() - {"Britain", "Denmark"}))
def test_a_states_number_with_another_last_digit_is_none(country: str) -> None:
    """But for those of two states, which have no check digit."""
    text = NATIONAL[country]
    place = max(i for i, letter in enumerate(text) if letter.isdigit())
    wrong = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    assert "NATIONAL_ID" not in [span.entity for span in PATTERNS.find(wrong)]


@pytest.mark.parametrize("text", OTHER)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    """Orders, times, prices, versions, digests, code."""
    assert [(span.entity, text[span.start : span.end]) for span in PATTERNS.find(text)] == []


def test_other_spellings_are_found_where_they_stand() -> None:
    """Full-width letters, and hidden characters inside."""
    mail = "".join(chr(ord(letter) + 0xFEE0) for letter in "joe@example.com")
    card = "4111\u200b111111111111"
    text = f"mail {mail} or card {card}"
    assert [text[s.start : s.end] for s in PATTERNS.find(text)] == [mail, card]


def test_the_same_text_is_looked_at_once() -> None:
    """For secrets, for each target and in every turn of a conversation; long ones each time."""
    looked: list[int] = []

    def count(text: str) -> Iterator[Span]:
        looked.append(len(text))
        return iter(())

    patterns = Patterns([count])
    first = patterns.find("write to ann@example.com")
    first.clear()  # what a caller does with its list is its own
    assert [each.entity for each in patterns.find("write to ann@example.com")] == ["EMAIL"]
    patterns.find("x " * 5000)
    patterns.find("x " * 5000)
    assert looked == [24, 10_000, 10_000]


def test_longer_texts_than_are_read_are_refused() -> None:
    """What nobody looked at must not go on."""
    with pytest.raises(TextTooLong):
        PATTERNS.find("a" * (MAX_CHARS + 1))


PIECES = st.sampled_from(
    [
        "1",
        "11",
        " ",
        "-",
        ".",
        "@",
        "a",
        "A1",
        ":",
        "/",
        "http://",
        "password ",
        "(",
        ")",
        "+",
        "\n",
    ]
    + ["sk-", "eyJ", "DE89", "-----BEGIN PRIVATE KEY-----", "jan ", "account ", "é", "\uff11", "0x"]
    + [text for _, text, _ in FOUND]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_findings_are_sorted_apart_and_inside_the_text(text: str) -> None:
    """Whatever the text is."""
    found = PATTERNS.find(text)
    ends = [0, *(span.end for span in found)]
    assert all(end <= span.start < span.end for end, span in zip(ends, found, strict=False))
    assert not found or found[-1].end <= len(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.sampled_from(FOUND), st.text(max_size=40))
def test_an_address_in_any_surroundings_is_found(
    before: str, planted: tuple[str, str, str], after: str
) -> None:
    """Nothing around it hides it."""
    text = f"{before} \n my mail joe@example.com \n {after}"
    found = PATTERNS.find(text)
    start = text.index("joe@example.com")
    assert any(s.start <= start and start + 15 <= s.end for s in found)


@settings(max_examples=50, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4).map("".join))
def test_time_grows_with_the_text_alone(piece: str) -> None:
    """Twice the text may take twice the time: no pattern goes over it again and again."""
    text = (piece * 4000)[:8000]
    began = time.thread_time()
    PATTERNS.find(text)
    assert time.thread_time() - began < 1.0


def test_of_overlapping_findings_secrets_win_then_the_surer_then_the_longer() -> None:
    """One finding a place."""
    sure, long, secret = Span(0, 4, "A", 0.9), Span(2, 9, "B", 0.5), Span(8, 20, "SECRET", 0.4)
    assert apart([long, sure, secret]) == [sure, secret]
    assert apart([Span(3, 3, "A"), Span(1, 2, "A"), Span(1, 5, "B")]) == [Span(1, 5, "B")]
    assert {"SECRET", "PRIVATE_KEY"} <= SECRETS


def test_luhn_knows_every_single_wrong_digit() -> None:
    """All 144 of them."""
    right = "4111111111111111"
    wrong = [
        right[:i] + str(d) + right[i + 1 :]
        for i in range(16)
        for d in range(10)
        if right[i] != str(d)
    ]
    assert luhn(right)
    assert not any(map(luhn, wrong))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (r"Mail ann\_bone@example\.org now", r"ann\_bone@example\.org"),
        (r"ann\.bone\@example.org", r"ann\.bone\@example.org"),
        (r"C:\mail\ann@example.org", "ann@example.org"),
    ],
)
def test_strokes_before_signs_hide_no_address(text: str, address: str) -> None:
    """As Markdown and patterns have them; a path's are none of it."""
    [found] = [span for span in Patterns().find(text) if span.entity == "EMAIL"]
    assert text[found.start : found.end] == address
