"""Letters that are read by their names, marked so that they stay apart from words of one letter."""

from __future__ import annotations

MARK = "\x01"
"""Stands before such a letter while a text is normalised; no text has it (`cleaning.clean`)."""


def letters(text: str) -> str:
    """The letters of a text, marked, as capitals: "pm" is "P M" in the end."""
    return " ".join(f"{MARK}{c.upper()}" for c in text if c.isalpha())
