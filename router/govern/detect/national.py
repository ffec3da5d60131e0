"""Numbers that states give to persons, with their check digits.

A form with letters or two check digits speaks for itself. One that a tenth of all numbers fulfils
counts only where a word says that it is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from router.govern.detect import Span
from router.govern.detect.checksums import luhn, mod11_10, verhoeff, weighted
from router.govern.detect.rules import around

Check = Callable[[str], bool]
_GENERAL: Final = (
    r"national (?:id|identity|identification|insurance)|identity (?:number|card|no)|social security"
    r"|(?:personal|tax|citizen|resident|fiscal)[ -](?:id|number|code|identification|no)"
    r"|identification number|id (?:number|no|card)|taxpayer|\btin\b"
)


def _born(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _born_short(digits: str, month_offsets: tuple[int, ...] = (0,), day_offset: int = 0) -> bool:
    """Whether the first six digits are a day, as year, month, day; of either century."""
    year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    days = {day, day - day_offset}
    return any(
        _born(century + year, month - offset, one)
        for offset in month_offsets
        for one in days
        for century in (1900, 2000)
    )


def _spain(text: str) -> bool:
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


_ITALY_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10)
_ITALY_LAST: Final = (22, 25, 24, 23)


def _italy(text: str) -> bool:
    odd = _ITALY_ODD + _ITALY_LAST
    total = sum(
        odd[int(letter, 36) - 10 * letter.isalpha()]
        if place % 2 == 0
        else int(letter, 36) - 10 * letter.isalpha()
        for place, letter in enumerate(text[:-1])
    )
    return chr(65 + total % 26) == text[-1]


def _france(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def _germany(text: str) -> bool:
    repeated = max(text[:10].count(digit) for digit in set(text[:10]))
    return text[0] != "0" and repeated in (2, 3) and mod11_10(text)


def _portugal(text: str) -> bool:
    return (11 - weighted(text, range(9, 1, -1)) % 11) % 11 % 10 == int(text[8])


def _netherlands(text: str) -> bool:
    return (weighted(text, range(9, 1, -1)) - int(text[8])) % 11 == 0 and text != "0" * 9


def _belgium(text: str) -> bool:
    check = int(text[9:])
    return _born_short(text, (0, 20, 40)) and check in (
        97 - int(text[:9]) % 97,
        97 - int("2" + text[:9]) % 97,
    )


def _poland(text: str) -> bool:
    return _born_short(text, (0, 20)) and (
        -weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10 == int(text[10])
    )


def _sweden(text: str) -> bool:
    return _born_short(text[-10:], day_offset=60) and luhn(text[-10:])


def _norway(text: str) -> bool:
    first = -weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted(text, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return _born_short(text[4:6] + text[2:4] + text[:2], day_offset=40) and (
        f"{first}{second}" == text[9:]
    )


def _denmark(text: str) -> bool:
    return _born_short(text[4:6] + text[2:4] + text[:2])


def _finland(text: str) -> bool:
    body = text[-10:-1]  # without the sign of the century
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(body[:6] + body[-3:]) % 31] == text[-1]


def _baltic(text: str) -> bool:
    first = weighted(text, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    second = weighted(text, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return _born_short(text[1:7]) and (first if first < 10 else second) == int(text[10])


def _czechia(text: str) -> bool:
    return _born_short(text, (0, 20, 50, 70)) and int(text) % 11 == 0


def _romania(text: str) -> bool:
    check = weighted(text, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return _born_short(text[1:7]) and check % 10 + check // 10 == int(text[12])


def _bulgaria(text: str) -> bool:
    check = weighted(text, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return _born_short(text, (0, 20, 40)) and check == int(text[9])


def _switzerland(text: str) -> bool:
    return -weighted(text, (1, 3) * 6) % 10 == int(text[12])


def _turkey(text: str) -> bool:
    digits = list(map(int, text))
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def _brazil(text: str) -> bool:
    if len(set(text)) == 1:
        return False
    return all(
        weighted(text, range(size + 1, 1, -1)) * 10 % 11 % 10 == int(text[size]) for size in (9, 10)
    )


def _chile(text: str) -> bool:
    digits = text[:-1].zfill(8)
    check = 11 - weighted(digits, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return {10: "K", 11: "0"}.get(check, str(check)) == text[-1]


def _argentina(text: str) -> bool:
    check = -weighted(text, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return check == int(text[10])


def _mexico(text: str) -> bool:
    letters = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(letters.index(letter) * (18 - place) for place, letter in enumerate(text[:17]))
    return str(-total % 10) == text[17]


def _south_africa(text: str) -> bool:
    return _born_short(text) and luhn(text)


def _australia(text: str) -> bool:
    return weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _korea(text: str) -> bool:
    check = (11 - weighted(text, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return _born_short(text) and check == int(text[12])


def _china(text: str) -> bool:
    weights = [2**power % 11 for power in range(17, 0, -1)]
    born = text[6:14]
    return _born(int(born[:4]), int(born[4:6]), int(born[6:])) and (
        "10X98765432"[weighted(text, weights) % 11] == text[17]
    )


def _japan(text: str) -> bool:
    check = 11 - weighted(text, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (check if check < 10 else 0) == int(text[11])


def _singapore(text: str) -> bool:
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "KLJNPQRTUWX"}
    return letters.get(text[0], "XWUTRQPNMLK")[total % 11] == text[8]


def _britain_health(text: str) -> bool:
    return -weighted(text, range(10, 1, -1)) % 11 == int(text[9])


def _america(text: str) -> bool:
    area = text[:3]
    if area[0] == "9":  # of those who have no social security number
        return 50 <= int(text[3:5]) <= 99
    return area not in ("000", "666") and text[3:5] != "00" and text[5:] != "0000"


def _always(_text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Number:
    """One country's number.

    Attributes:
        form: how it is written.
        check: of it without spaces and marks, in capital letters.
        words: what it is called; a match without one of these nearby counts only if ``alone``.
        alone: how sure a match without a word is; 0: it is none.
    """

    form: str
    check: Check
    words: str
    alone: float = 0
    entity: str = "NATIONAL_ID"


_NUMBERS: Final = (
    _Number(r"\d{3}-\d{2}-\d{4}", _america, r"ssn|social|itin", 0.9, "SSN"),
    _Number(r"\d{3} \d{2} \d{4}|\d{9}", _america, r"ssn|social sec|itin|taxpayer", 0, "SSN"),
    _Number(r"[XYZ]?\d{7,8}-?[A-Z]", _spain, r"dni|nie|nif", 0.9),
    _Number(
        r"[A-Z]{6}[\dLMNP-V]{2}[A-EHLMPR-T][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]",
        _italy,
        r"codice fiscale",
        1,
    ),
    _Number(
        r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        _france,
        r"s[ée]curit[ée] sociale|nir|insee",
        0.95,
    ),
    _Number(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", _germany, r"steuer|idnr|\btax"),
    _Number(r"\d{3} ?\d{3} ?\d{3}", _portugal, r"\bnif\b|contribuinte"),
    _Number(r"\d{9}|\d{4}\.\d{2}\.\d{3}", _netherlands, r"\bbsn\b|burgerservice|sofi"),
    _Number(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _belgium, r"rijksregister|national", 0.95),
    _Number(r"\d{11}", _poland, r"pesel"),
    _Number(r"(?:\d{2})?\d{6}[-+]\d{4}", _sweden, r"personn|samordning", 0.9),
    _Number(r"\d{6} ?\d{5}", _norway, r"f[øo]dsels|personn", 0.9),
    _Number(r"\d{6}-\d{4}", _denmark, r"\bcpr\b|personn", 0.5),
    _Number(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", _finland, r"hetu|henkil", 0.95),
    _Number(r"[1-8]\d{10}", _baltic, r"isikukood|asmens|personal"),
    _Number(r"\d{6}/\d{4}", _czechia, r"rodn", 0.9),
    _Number(r"[1-9]\d{12}", _romania, r"\bcnp\b", 0.6),
    _Number(r"\d{10}", _bulgaria, r"\begn\b|егн"),
    _Number(r"\d{11}", mod11_10, r"\boib\b"),
    _Number(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", _switzerland, r"ahv|avs", 0.95),
    _Number(r"\d{11}", _turkey, r"kimlik|tckn|t\.?c\.?"),
    _Number(r"\d{11}", luhn, r"amka|αμκα"),
    _Number(r"\d{3}\.\d{3}\.\d{3}-\d{2}", _brazil, r"cpf", 0.95),
    _Number(r"\d{11}", _brazil, r"cpf"),
    _Number(r"\d{1,2}\.\d{3}\.\d{3}-[\dK]|\d{7,8}-[\dK]", _chile, r"\brut\b|\brun\b", 0.6),
    _Number(r"\d{2}-\d{8}-\d", _argentina, r"cui[lt]", 0.9),
    _Number(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", _mexico, r"curp", 0.95),
    _Number(r"[2-9]\d{3} ?\d{4} ?\d{4}", verhoeff, r"aadha+r|uidai?"),
    _Number(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", _always, r"\bpan\b", 0.6),
    _Number(r"\d{13}|\d{6} \d{4} \d{2} \d", _south_africa, r"\bid\b|identity", 0.6),
    _Number(r"\d{3} ?\d{3} ?\d{3}", _australia, r"tfn|tax file"),
    _Number(r"\d{3}[ -]?\d{3}[ -]?\d{3}", luhn, r"\bsin\b|social insurance"),
    _Number(r"\d{6}-[1-8]\d{6}", _korea, r"resident|rrn|주민", 0.9),
    _Number(r"[1-9]\d{16}[\dX]", _china, r"身份证|resident", 0.95),
    _Number(r"\d{4}[ -]?\d{4}[ -]?\d{4}", _japan, r"my number|マイナンバー|個人番号"),
    _Number(r"[STFGM]\d{7}[A-Z]", _singapore, r"nric|\bfin\b", 0.9),
    _Number(
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        _always,
        r"national insurance|nino|\bni\b",
        0.7,
    ),
    _Number(r"\d{3} ?\d{3} ?\d{4}", _britain_health, r"\bnhs\b"),
)
_MARKS: Final = str.maketrans("", "", " .-/+")
_CANDIDATE: Final = re.compile(
    r"(?<![\w.-])(?=[A-Za-z-]{0,8}\d)[0-9A-Za-z][0-9A-Za-z./+-]{5,20}[0-9A-Za-z](?![\w-])(?!\.\d)"
)
_SPACED: Final = re.compile(
    r"(?<![\w.-])(?:[A-Z]{2} ?)?\d{1,6}(?: \d[\dA-B]{0,5}){1,7}(?: ?[A-Da-d])?(?![\w-])(?!\.\d)"
)
_FORMS: Final = tuple(
    (
        number,
        re.compile(number.form),
        re.compile(f"{number.words}|{_GENERAL}", re.IGNORECASE),
    )
    for number in _NUMBERS
)


def numbers(text: str) -> Iterator[Span]:
    """Numbers of persons, of every country in the table."""
    for candidates in (_CANDIDATE, _SPACED):
        for match in candidates.finditer(text):
            written = match[0].upper()
            for number, form, words in _FORMS:
                if form.fullmatch(written) and number.check(written.translate(_MARKS)):
                    score = 0.97 if around(match, words) else number.alone
                    yield Span(match.start(), match.end(), number.entity, score)
