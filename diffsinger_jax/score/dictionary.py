"""Lyrics to phonemes: the table of a language, and how a voice's own phonemes are written."""

from __future__ import annotations

import dataclasses
import difflib
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.phonology import is_vowel, nucleus_index
from diffsinger_jax.types import BREATH, SILENCE, Note, Phoneme, Piece, Score, Vocabulary

TABLES = resources.folder("data") / "dictionaries"
"""Where the tables of the project lie; `Dictionary.read` takes any other file."""

BREATH_LYRICS = frozenset({"ap", "br", "breath", "息"})
"""Lyrics that mean: breathe."""

LONG_MARKS = frozenset("ー-―~")
"""Inside a lyric: the vowel lasts (the corpora write one phoneme for a long vowel)."""


@dataclasses.dataclass(frozen=True)
class Dictionary:
    """Syllables to phonemes.

    Attributes:
      language: a tag, as "ja".
      entries: phonemes by syllable, as (`"k", "a"`) under "か" and "ka".
      replacements: what stands for a phoneme that a voice lacks.
    """

    language: str
    entries: Mapping[str, tuple[str, ...]]
    replacements: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, language: str) -> Dictionary:
        """The dictionary of a language that the project has.

        Raises:
          InputError: for another language, naming those there are.
        """
        path = TABLES / f"{language}.tsv"
        if not path.is_file():
            known = sorted(p.stem for p in TABLES.glob("*.tsv") if p.stem != "replacements")
            raise InputError(
                f"there is no dictionary for the language {language!r}; there is one for "
                f"{', '.join(known) or 'none'}, and lyrics may be written as phonemes"
            )
        return cls.read(path, language)

    @classmethod
    def read(cls, path: str | Path, language: str) -> Dictionary:
        """Reads a table: a syllable, a tab, phonemes separated by spaces.

        Raises:
          InputError: naming the line that is not of this form, or the missing file.
        """
        return cls(language, _read_table(Path(path)), _read_table(TABLES / "replacements.tsv"))

    def phonemes(self, lyric: str, vocabulary: Vocabulary) -> tuple[str, ...]:
        """The phonemes of a lyric, all of them in the vocabulary.

        A lyric is one of: syllables of the table (`か`, `カ`, `ka`, `ない`); the voice's own
        phonemes, in brackets (`[k a]`) or separated by spaces (`k a`); a breath (`br`). A long
        mark in it adds no phoneme.

        Returns:
          At least one phoneme; none only for a lyric of nothing but long marks.

        Raises:
          InputError: naming the lyric, or the phoneme the voice lacks, and the nearest known.
        """
        text = unicodedata.normalize("NFKC", lyric).strip()
        if text.lower() in BREATH_LYRICS:
            return self.fit((BREATH,), vocabulary)
        if text.startswith("[") and text.endswith("]"):
            return self.fit(tuple(text[1:-1].split()), vocabulary)
        tokens = tuple(text.split())
        if len(tokens) > 1 or (tokens and tokens[0] in vocabulary.phonemes and tokens[0] != "n"):
            try:
                return self.fit(tokens, vocabulary)
            except InputError:
                text = "".join(tokens)  # "な い" is two syllables
        return self.fit(self._syllables(text, lyric), vocabulary)

    def _syllables(self, text: str, lyric: str) -> tuple[str, ...]:
        text = _hiragana(text.lower())
        longest = max(map(len, self.entries))
        phonemes: list[str] = []
        i = 0
        while i < len(text):
            if text[i] in LONG_MARKS:
                i += 1
                continue
            # A doubled consonant of romaji is a stop: "kitte", "matchi".
            following = text[i + 1 : i + 2]
            if (
                text[i] in "bcdfghjkmprstwz"
                and following
                and following in ("tc" if text[i] == "t" else text[i])
            ):
                phonemes.append("cl")
                i += 1
                continue
            size = min(longest, len(text) - i)
            while size and text[i : i + size] not in self.entries:
                size -= 1
            if not size:
                near = difflib.get_close_matches(text[i:], self.entries, n=3, cutoff=0.3)
                nearest = f" (the nearest are {', '.join(near)})" if near else ""
                raise InputError(
                    f"lyric {lyric!r} is not in the {self.language} dictionary{nearest}; write "
                    "kana, romaji or the voice's phonemes, as [k a]"
                )
            phonemes += self.entries[text[i : i + size]]
            i += size
        return tuple(phonemes)

    def fit(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes as the voice names them: itself, without its `lang/`, or its replacement.

        Raises:
          InputError: if the voice has neither, naming the nearest it has.
        """
        fitting: list[str] = []
        for symbol in symbols:
            short = symbol.rpartition("/")[2]
            if symbol in vocabulary.phonemes:
                fitting.append(symbol)
            elif short in vocabulary.phonemes:
                fitting.append(short)
            elif short in self.replacements:
                fitting += self.fit(self.replacements[short], vocabulary)
            else:
                vocabulary.phoneme_ids([symbol])  # raises, naming the nearest
        return tuple(fitting)


def phonemize(score: Score, dictionary: Dictionary, vocabulary: Vocabulary) -> Score:
    """Fills in the phonemes of every piece.

    Rests become `SILENCE`. Of a syllable, the vowel is the onset of its note, consonants before
    it take their time from before the note, what follows fills the end of the note. On slurs
    the vowel is repeated, an onset each, and what follows it moves to the last of them. Given
    phonemes (of a `.ds`) stay as they are, in the voice's names.

    Raises:
      InputError: for lyrics or phonemes that cannot be sung, naming file, place and lyric.
    """
    pieces = []
    for piece in score.pieces:
        place = ": ".join(part for part in (score.source, piece.where) if part)
        read = _given if piece.phonemes is not None else _from_lyrics
        phonemes = read(piece, dictionary, vocabulary, place)
        pieces.append(dataclasses.replace(piece, phonemes=phonemes))
    return dataclasses.replace(score, pieces=tuple(pieces))


def _given(
    piece: Piece, dictionary: Dictionary, vocabulary: Vocabulary, place: str
) -> tuple[Phoneme, ...]:
    """The piece's own phonemes in the voice's names."""
    phonemes = []
    for count, phoneme in enumerate(piece.phonemes, 1):
        try:
            symbols = dictionary.fit((phoneme.symbol,), vocabulary)
        except InputError as error:
            raise InputError(f"{place}: phoneme {count} of ph_seq: {error}") from error
        sec = phoneme.duration_sec
        for i, symbol in enumerate(symbols):
            phonemes.append(
                dataclasses.replace(
                    phoneme,
                    symbol=symbol,
                    onset=phoneme.onset and i == 0,
                    duration_sec=None if sec is None else sec / len(symbols),
                )
            )
    return tuple(phonemes)


def _from_lyrics(
    piece: Piece, dictionary: Dictionary, vocabulary: Vocabulary, place: str
) -> tuple[Phoneme, ...]:
    phonemes: list[Phoneme] = []
    held: str | None = None  # the vowel that a long mark goes on with
    i = 0
    while i < len(piece.notes):
        note = piece.notes[i]
        last = i
        while last + 1 < len(piece.notes) and piece.notes[last + 1].slur:
            last += 1
        if note.midi is None:
            symbols = dictionary.fit((SILENCE,), vocabulary)
        else:
            symbols = _syllable(note, held, dictionary, vocabulary, place)
            held = next((s for s in reversed(symbols) if is_vowel(s)), symbols[-1])
        nucleus = nucleus_index(symbols)
        phonemes += [Phoneme(symbol, i, False) for symbol in symbols[:nucleus]]
        phonemes += [Phoneme(symbols[nucleus], j, True) for j in range(i, last + 1)]
        phonemes += [Phoneme(symbol, last, False) for symbol in symbols[nucleus + 1 :]]
        i = last + 1
    if phonemes and not phonemes[0].onset:
        # Nothing lies before the piece: its first consonants share the first note.
        first = next(k for k, phoneme in enumerate(phonemes) if phoneme.onset)
        phonemes[first] = dataclasses.replace(phonemes[first], onset=False)
        phonemes[0] = dataclasses.replace(phonemes[0], onset=True)
    return tuple(phonemes)


def _syllable(
    note: Note, held: str | None, dictionary: Dictionary, vocabulary: Vocabulary, place: str
) -> tuple[str, ...]:
    """The phonemes of a sung note that is not a slur."""
    where = ": ".join(part for part in (place, note.where) if part)
    if note.slur or note.lyric is None:
        raise InputError(f"{where}: the note has no lyric; write the syllable it is sung on")
    try:
        symbols = dictionary.phonemes(note.lyric, vocabulary)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not symbols and held is None:
        raise InputError(
            f"{where}: lyric {note.lyric!r} goes on with the vowel before it, but there is none; "
            "write a syllable"
        )
    return symbols or (held,)


def _hiragana(text: str) -> str:
    """Katakana to hiragana; the two blocks are 0x60 apart."""
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in text)


def _read_table(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the dictionary cannot be read as UTF-8 text ({error})"
        ) from error
    table = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        syllable, tab, phonemes = line.partition("\t")
        if not tab or not phonemes.split():
            raise InputError(
                f"{path}: line {number}: expected a syllable, a tab and phonemes, got {line!r}"
            )
        table[syllable.strip()] = tuple(phonemes.split())
    return table
