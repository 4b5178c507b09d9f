"""A score's lyrics, or its own phonemes, to the phonemes that a voice sings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NoReturn, Protocol

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.hanzi import with_pinyin
from diffsinger_jax.score.languages import guess_language, words_of
from diffsinger_jax.score.lyrics import LONG_MARK
from diffsinger_jax.score.phoneme_map import PhonemeMap
from diffsinger_jax.score.phonology import is_rest, is_vowel, nucleus_index
from diffsinger_jax.score.tables import languages_with, name_of, table_path
from diffsinger_jax.types import BREATH, SILENCE, Note, Phoneme, Piece, Score, Vocabulary

_MOST_LISTED = 12
_KNOWN_SHARE = 0.7
"""With fewer of its syllables known a score is taken to be in another language."""
_GLIDE_SEC = 0.06
"""What a glide before a vowel takes of a given phoneme that becomes both."""


class Reading(Protocol):
    """What reads lyrics: a `Dictionary`."""

    @property
    def language(self) -> str:
        """Whose lyrics it reads."""
        ...

    @property
    def phoneme_map(self) -> PhonemeMap | None:
        """From its phones to the voice's phonemes."""
        ...

    def word(self, syllables: Sequence[str], vocabulary: Vocabulary) -> list[tuple[str, ...]]:
        """The phonemes of each written syllable of a word."""
        ...

    def fit(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes as the voice names them."""
        ...

    def fit_own(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes that a user wrote, as the voice names them."""
        ...


@dataclasses.dataclass(frozen=True)
class BadLyric:
    """A lyric that cannot be sung: where it stands, what it says, and why not."""

    where: str
    lyric: str
    reason: str


def phonemize(score: Score, dictionary: Reading, vocabulary: Vocabulary) -> Score:
    """Fills in the phonemes of every piece.

    Rests become `SILENCE`, or `BREATH` where one is written. Of a syllable, the vowel is the
    onset of its note, consonants before it take their time from before the note, what follows
    fills the end of the note. On slurs the vowel is repeated, an onset each, and what follows it
    moves to the last of them. Given phonemes (of a `.ds`) stay as they are, in the voice's names.

    Raises:
      InputError: for lyrics or phonemes that cannot be sung, naming file, place and lyric of
        all of them, or the language that they look like.
    """
    pieces, bad, count = [], [], 0
    for piece in score.pieces:
        place = ": ".join(part for part in (score.source, piece.where) if part)
        if piece.phonemes is not None:
            phonemes = _given(piece, dictionary, vocabulary, place)
        else:
            read = _syllables(piece, dictionary, vocabulary, place)
            bad += read.bad
            count += len(read.phonemes) + len(read.bad)
            phonemes = (
                () if bad else _from_syllables(piece, read.phonemes, dictionary, vocabulary, place)
            )
        pieces.append(dataclasses.replace(piece, phonemes=phonemes))
    if bad:
        raise InputError(_sentence(score, bad, count, dictionary))
    return dataclasses.replace(score, pieces=tuple(pieces))


def bad_lyrics(score: Score, dictionary: Reading, vocabulary: Vocabulary) -> list[BadLyric]:
    """All lyrics of a score that cannot be sung, in its order."""
    return [
        bad
        for piece in score.pieces
        if piece.phonemes is None
        for bad in _syllables(piece, dictionary, vocabulary, "").bad
    ]


def _sentence(score: Score, bad: Sequence[BadLyric], count: int, dictionary: Reading) -> str:
    """What is wrong with the lyrics of a score, and what to do."""
    place = f"{score.source or score.title}: "
    known = count - len(bad)
    syllables = [
        (note.lyric, note.hyphen) for piece in score.pieces for note in piece.notes if note.lyric
    ]
    guess = guess_language(words_of(syllables))
    singing = dictionary.phoneme_map.name if dictionary.phoneme_map else dictionary.language
    if known < _KNOWN_SHARE * count and guess not in (None, dictionary.language):
        if dictionary.phoneme_map is not None:
            return (
                f"{place}with --phoneme_map {singing} {known} of {count} syllables are known; the "
                f"score looks like {name_of(guess)}; try --phoneme_map {guess}"
            )
        return (
            f"{place}this voice sings {singing}; the score looks like {name_of(guess)} ({known} "
            f"of {count} syllables known); choose another voice, or --phoneme_map {guess}"
        )
    if len(bad) == 1:
        return f"{bad[0].where}: {bad[0].reason}"
    shown = ", ".join(f"{b.lyric!r} ({_short(b.where, place)})" for b in bad[:_MOST_LISTED])
    more = f" and {len(bad) - _MOST_LISTED} more" if len(bad) > _MOST_LISTED else ""
    advice = bad[0].reason.rpartition("; ")[2]
    return f"{place}{len(bad)} of {count} syllables cannot be sung: {shown}{more}; {advice}"


def _short(where: str, place: str) -> str:
    return where.removeprefix(place)


# Lyrics


@dataclasses.dataclass
class _Read:
    """Phonemes by the index of the note that a syllable starts on, and what could not be read."""

    phonemes: dict[int, tuple[str, ...]]
    bad: list[BadLyric]


def _syllables(piece: Piece, dictionary: Reading, vocabulary: Vocabulary, place: str) -> _Read:
    heads = [i for i, note in enumerate(piece.notes) if note.midi is not None and not note.slur]
    if piece.notes and (first := next((n for n in piece.notes if n.midi is not None), None)):
        if first.slur:
            _no_lyric(first, place)
    lyrics = []
    for i in heads:
        lyric = piece.notes[i].lyric
        if lyric is None:
            _no_lyric(piece.notes[i], place)
        lyrics.append(lyric)
    if dictionary.language == "zh":
        lyrics = with_pinyin(lyrics)
    read = _Read({}, [])
    k = 0
    while k < len(heads):
        last = k
        while last + 1 < len(heads) and piece.notes[heads[last]].hyphen:
            last += 1
        word = lyrics[k : last + 1]
        try:
            for i, symbols in zip(
                heads[k : last + 1], dictionary.word(word, vocabulary), strict=True
            ):
                read.phonemes[i] = _overridden(symbols, piece.notes[i], dictionary, vocabulary)
        except InputError as error:
            read.bad += _blame(
                piece, heads[k : last + 1], word, error, dictionary, vocabulary, place
            )
        k = last + 1
    return read


def _blame(piece, heads, word, error, dictionary, vocabulary, place) -> list[BadLyric]:
    """Which syllables of a word are at fault: those that cannot be read alone, else all."""
    bad = []
    for i, lyric in zip(heads, word, strict=True):
        try:
            dictionary.word([lyric], vocabulary)
        except InputError as own:
            where = ": ".join(part for part in (place, piece.notes[i].where) if part)
            bad.append(BadLyric(where, piece.notes[i].lyric, str(own)))
    if bad:
        return bad
    where = ": ".join(part for part in (place, piece.notes[heads[0]].where) if part)
    return [BadLyric(where, "".join(word), str(error))]


def _no_lyric(note: Note, place: str) -> NoReturn:
    where = ": ".join(part for part in (place, note.where) if part)
    raise InputError(f"{where}: the note has no lyric; write the syllable it is sung on")


def _overridden(
    symbols: tuple[str, ...], note: Note, dictionary: Reading, vocabulary: Vocabulary
) -> tuple[str, ...]:
    """With the phonemes that the file puts in the place of the dictionary's."""
    if not note.overrides:
        return symbols
    parts: list[tuple[str, ...]] = [(symbol,) for symbol in symbols]
    for index, symbol in note.overrides:
        if 0 <= index < len(parts):
            parts[index] = dictionary.fit_own((symbol,), vocabulary)
    return tuple(symbol for part in parts for symbol in part)


def _from_syllables(
    piece: Piece,
    syllables: dict[int, tuple[str, ...]],
    dictionary: Reading,
    vocabulary: Vocabulary,
    place: str,
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
            symbols = dictionary.fit((BREATH if note.lyric == BREATH else SILENCE,), vocabulary)
        else:
            symbols = syllables[i] or _held(held, note, place)
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


def _held(held: str | None, note: Note, place: str) -> tuple[str, ...]:
    if held is None:
        where = ": ".join(part for part in (place, note.where) if part)
        raise InputError(
            f"{where}: lyric {note.lyric or LONG_MARK!r} goes on with the vowel before it, "
            "but there is none; write a syllable"
        )
    return (held,)


# Given phonemes


def _given(
    piece: Piece, dictionary: Reading, vocabulary: Vocabulary, place: str
) -> tuple[Phoneme, ...]:
    """The piece's own phonemes in the voice's names."""
    phonemes: list[Phoneme] = []
    for count, phoneme in enumerate(piece.phonemes or (), 1):
        symbols: tuple[str, ...] = (phoneme.symbol,)
        if dictionary.phoneme_map is not None:
            follows = phonemes[-1].symbol if phonemes else SILENCE
            is_coda = not phoneme.onset and (is_vowel(follows) or follows == "N")
            symbols = dictionary.phoneme_map.phone(phoneme.symbol, is_coda=is_coda)
        try:
            fitted = dictionary.fit(symbols, vocabulary)
        except InputError as error:
            likely = _language_of_phones([p.symbol for p in piece.phonemes or ()], dictionary)
            hint = f"; they look like {name_of(likely or '')}, try --phoneme_map {likely}" * bool(
                likely
            )
            raise InputError(f"{place}: phoneme {count} of ph_seq: {error}{hint}") from error
        phonemes += _spread(phoneme, fitted, phonemes)
    return tuple(phonemes)


def _language_of_phones(symbols: Sequence[str], dictionary: Reading) -> str | None:
    """The language whose phoneme map for this voice knows all of them, if there is one."""
    sung = {s.rpartition("/")[2] for s in symbols if not is_rest(s.rpartition("/")[2])}
    if dictionary.phoneme_map is None:
        for language in ("zh", *languages_with(f"map_{{}}_{dictionary.language}")):
            if not table_path(f"map_{language}_{dictionary.language}").is_file():
                continue
            phones = PhonemeMap.open(language, dictionary.language).phones
            if all(s in phones or s.lower() in phones for s in sung):
                return language
    return None


def _spread(phoneme: Phoneme, symbols: tuple[str, ...], before: list[Phoneme]) -> list[Phoneme]:
    """One given phoneme as several, in its time; a glide before the vowel is short."""
    sec = phoneme.duration_sec
    if not symbols:  # nothing is sung for it: what stood before it lasts
        if before and sec is not None and before[-1].duration_sec is not None:
            before[-1] = dataclasses.replace(before[-1], duration_sec=before[-1].duration_sec + sec)
        return []
    nucleus = 0 if is_rest(symbols[0]) else nucleus_index(symbols)
    shares = [1.0] * len(symbols)
    if sec is not None and nucleus:
        glide = min(_GLIDE_SEC, sec / (2 * len(symbols)))
        shares = [glide] * nucleus + [(sec - nucleus * glide) / (len(symbols) - nucleus)] * (
            len(symbols) - nucleus
        )
    elif sec is not None:
        shares = [sec / len(symbols)] * len(symbols)
    onset = nucleus if sec is None else 0
    return [
        dataclasses.replace(
            phoneme,
            symbol=symbol,
            onset=phoneme.onset and i == onset,
            duration_sec=None if sec is None else share,
        )
        for i, (symbol, share) in enumerate(zip(symbols, shares, strict=True))
    ]
