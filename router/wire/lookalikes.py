# ruff: noqa: RUF001 - letters that look alike are what this is about
"""Letters of other scripts that look like a Latin one. What NFKC makes Latin is not among them."""

from __future__ import annotations

from typing import Final

_PAIRS: Final = """
a а ɑ α ⍺
b Ь Ƅ
c с ϲ ⅽ ᴄ
d ԁ ɗ
e е є ҽ ℮
f ƒ ք
g ɡ ց
h һ հ
i і ı ɩ ι Ꭵ
j ј ϳ
k κ к
l ӏ ǀ ן
m ᴍ м
n ո ռ п
o о ο օ ߀ ᴏ
p р ρ ⍴
q ԛ զ
r г ᴦ
s ѕ ꜱ
t т τ
u υ ս ᴜ
v ν ѵ ᴠ
w ѡ ԝ ա ᴡ
x х χ ⨯
y у γ ү ყ
z ᴢ
A А Α Ꭺ
B В Β Ᏼ
C С Ϲ Ꮯ
D Ꭰ
E Е Ε Ꭼ
F Ϝ
G Ԍ Ꮐ
H Н Η Ꮋ
I І Ι Ӏ Ꮖ
J Ј Ꭻ Ϳ
K К Κ Ꮶ
L Ꮮ
M М Μ Ꮇ
N Ν
O О Ο Օ
P Р Ρ Ꮲ
Q Ԛ
R Ꭱ Ꮢ
S Ѕ Տ Ꮪ
T Т Τ Ꭲ
U Ս
V Ѵ Ꮩ
W Ԝ Ꮃ
X Х Χ
Y Υ Ү
Z Ζ Ꮓ
"""

LOOKALIKES: Final[dict[str, str]] = {
    letter: row[0] for row in map(str.split, _PAIRS.strip().splitlines()) for letter in row[1:]
}
