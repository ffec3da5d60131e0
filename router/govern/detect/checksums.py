"""Check digits: arithmetic that tells a number from one that only looks like it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

_BASE58: Final = {
    letter: value
    for value, letter in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
_BECH32: Final = {letter: value for value, letter in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_STEPS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812: cards and some national numbers."""
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def mod97(letters: str) -> bool:
    """ISO 7064 mod 97-10, over an IBAN without spaces in capital letters."""
    turned = letters[4:] + letters[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def mod11_10(digits: str) -> bool:
    """ISO 7064 mod 11,10: tax numbers of Germany and Croatia."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the first digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def verhoeff(digits: str) -> bool:
    """The check of Aadhaar numbers: arithmetic in the dihedral group of order 10."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[value]
        check = _dihedral(check, value)
    return check == 0


def _dihedral(left: int, right: int) -> int:
    if left < 5:
        return (left + right) % 5 if right < 5 else 5 + (left + right) % 5
    return 5 + (left - right) % 5 if right < 5 else (left - right) % 5


def base58(text: str) -> bytes | None:
    """What a base58 text says, when its last four bytes are the check of the others."""
    value = 0
    for letter in text:
        digit = _BASE58.get(letter)
        if digit is None:
            return None
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    raw = b"\0" * zeros + value.to_bytes((value.bit_length() + 7) // 8)
    body, check = raw[:-4], raw[-4:]
    twice = hashlib.sha256(hashlib.sha256(body).digest()).digest()
    return body if body and twice[:4] == check else None


def bech32(text: str) -> bool:
    """BIP 173 and BIP 350: addresses such as ``bc1...``."""
    prefix, _, data = text.lower().rpartition("1")
    values = [_BECH32.get(letter, -1) for letter in data]
    if not prefix or len(values) < 6 or -1 in values or text not in (text.lower(), text.upper()):
        return False
    check = 1
    spread = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    for value in spread + values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)
