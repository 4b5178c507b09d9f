"""Chinese characters to pinyin, by pypinyin, which is an extra."""

from __future__ import annotations

from collections.abc import Sequence

from diffsinger_jax.errors import InputError


def is_hanzi(text: str) -> bool:
    """True if a text has Chinese characters in it."""
    return any("\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" for c in text)


def with_pinyin(lyrics: Sequence[str]) -> list[str]:
    """The lyrics, each with its characters as pinyin; the ones around it decide how it is read.

    Raises:
      InputError: if pypinyin is not installed.
    """
    if not any(map(is_hanzi, lyrics)):
        return list(lyrics)
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise InputError(
            "Chinese characters are read by pypinyin, which is not installed; "
            "pip install pypinyin, or write pinyin"
        ) from error
    # One reading for each character: what is not Chinese is left aside, so that counts agree.
    characters = [c for lyric in lyrics for c in lyric if is_hanzi(c)]
    readings = iter(lazy_pinyin("".join(characters), style=Style.NORMAL, v_to_u=False))
    return ["".join(next(readings) if is_hanzi(c) else c for c in lyric) for lyric in lyrics]
