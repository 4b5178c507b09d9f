"""Unicode to the few characters that the rules of the normaliser know."""

from __future__ import annotations

import re
import unicodedata

_BEFORE = {
    "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⅛": " 1/8",
    "º": "°", "™": "", "®": "", "…": "...", "℃": "°C", "℉": "°F",
    "‘": "'", "’": "'", "ʼ": "'", "′": "'", "`": "'", "´": "'",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"',
    "‐": "-", "‑": "-", "−": "-", "—": " -- ", "―": " -- ", "©": " copyright ",
}  # fmt: skip
_POWERS = {"²": "\x02", "³": "\x03"}  # kept apart from 2 and 3, which NFKC would make of them
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta",
    "λ": "lambda", "μ": "mu", "π": "pi", "σ": "sigma", "φ": "phi", "ω": "omega", "Δ": "delta",
    "Σ": "sigma", "Ω": "omega",
}  # fmt: skip
_KEPT_SYMBOLS = frozenset("°+=<>×÷±~^$£€¥₹₩₽¢|")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿĀ-ž]")


def clean(text: str) -> str:
    """Plain quotes, hyphens and spaces; without emoji, control characters and other scripts."""
    text = "".join(_BEFORE.get(c, _POWERS.get(c, c)) for c in text if c not in "\x01\x02\x03")
    text = unicodedata.normalize("NFKC", text)
    text = "".join(_greek_word(c) if c in _GREEK else c for c in text)
    kept = []
    for c in text:
        if c in _POWERS.values():
            kept.append("²" if c == "\x02" else "³")
        elif _is_read(c):
            kept.append(c)
        elif unicodedata.category(c) not in ("Cf", "Mn", "Me"):
            kept.append(" ")
    return re.sub(r"\s+", " ", "".join(kept)).strip()


def left_out(text: str) -> str:
    """Letters and digits of a text that English has no reading for, each once, in order."""
    plain = unicodedata.normalize("NFKC", text)
    lost = (c for c in plain if c.isalnum() and c not in _GREEK and not _is_read(c))
    return "".join(dict.fromkeys(lost))


def plain_letters(word: str) -> str:
    """A word without accents and ligatures: "cafe", "muller"."""
    word = word.replace("æ", "ae").replace("œ", "oe").replace("ø", "o").replace("ß", "ss")
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _greek_word(c: str) -> str:
    return f" {_GREEK[c]} "


def _is_read(c: str) -> bool:
    if c.isascii():
        return c.isprintable()
    return bool(_LATIN.match(c)) or c in _KEPT_SYMBOLS or c in "–§"
