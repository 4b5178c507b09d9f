"""ARPAbet: the phones of English dictionaries, with stress 0, 1 or 2 behind vowels."""

from __future__ import annotations

import re

VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
CONSONANTS = frozenset("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())

# The alphabet of misaki's dictionaries: IPA with one letter for each diphthong.
_IPA = {
    "A": "EY", "I": "AY", "O": "OW", "W": "AW", "Y": "OY", "i": "IY", "u": "UW", "æ": "AE",
    "ɑ": "AA", "ɔ": "AO", "ə": "AH", "ɛ": "EH", "ɜ": "ER", "ɪ": "IH", "ʊ": "UH", "ʌ": "AH",
    "ᵊ": "AH", "ᵻ": "IH", "b": "B", "d": "D", "f": "F", "h": "HH", "j": "Y", "k": "K", "l": "L",
    "m": "M", "n": "N", "p": "P", "s": "S", "t": "T", "v": "V", "w": "W", "z": "Z", "ð": "DH",
    "ŋ": "NG", "ɡ": "G", "ɹ": "R", "ɾ": "T", "ʃ": "SH", "ʒ": "ZH", "ʔ": "T", "ʤ": "JH",
    "ʧ": "CH", "θ": "TH",
}  # fmt: skip
_STRESS = {"ˈ": "1", "ˌ": "2"}
_COLOURED = re.compile(r"ɜɹ|əɹ(?![ˈˌ])")  # one vowel in ARPAbet

# Phones that the rules for singers write, which know no stress.
_PLAIN = {"AX": "AH"}


def is_phone(symbol: str) -> bool:
    """True for a phone of ARPAbet; vowels have a stress behind them."""
    return symbol in CONSONANTS or (symbol[:-1] in VOWELS and symbol[-1:] in ("0", "1", "2"))


def without_stress(symbol: str) -> str:
    """The phone as dictionaries without stress write it."""
    return symbol[:-1] if symbol[-1:] in ("0", "1", "2") else symbol


def from_ipa(text: str) -> tuple[str, ...] | None:
    """A word of misaki's dictionaries, as "həlˈO"; None for letters that it does not write."""
    phones, stress = [], "0"
    for letter in _COLOURED.sub("ɜ", text):
        if letter in _STRESS:
            stress = _STRESS[letter]
        elif letter not in _IPA:
            return None
        elif (phone := _IPA[letter]) in VOWELS:
            phones.append(phone + stress)
            stress = "0"
        else:
            phones.append(phone)
    return tuple(phones)


def with_stress(phones: list[str]) -> tuple[str, ...]:
    """Phones without stress, as rules make them: the first full vowel is stressed."""
    upper = [phone.upper() for phone in phones]
    vowels = [i for i, phone in enumerate(upper) if _PLAIN.get(phone, phone) in VOWELS]
    stressed = next((i for i in vowels if upper[i] != "AX"), vowels[0] if vowels else -1)
    plain = [_PLAIN.get(phone, phone) for phone in upper]
    return tuple(
        f"{phone}{int(i == stressed)}" if i in vowels else phone for i, phone in enumerate(plain)
    )
